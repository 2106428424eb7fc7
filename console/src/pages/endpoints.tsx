import { Page } from '../ui/page';

export default function Endpoints() {
  return <Page title="Endpoints">{null}</Page>;
}
