import { Page } from '../ui/page';

export default function ApiKeys() {
  return <Page title="API keys">{null}</Page>;
}
