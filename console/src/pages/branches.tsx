import { Page } from '../ui/page';

export default function Branches() {
  return <Page title="Branches">{null}</Page>;
}
