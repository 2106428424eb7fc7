import { Page } from '../ui/page';

export default function Queries() {
  return <Page title="Queries">{null}</Page>;
}
