import { Page } from '../ui/page';

export default function Sql() {
  return <Page title="SQL editor">{null}</Page>;
}
