import { Page } from '../ui/page';

export default function EndpointPage() {
  return <Page title="Endpoint">{null}</Page>;
}
