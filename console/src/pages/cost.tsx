import { Page } from '../ui/page';

export default function Cost() {
  return <Page title="Cost">{null}</Page>;
}
