import { Page } from '../ui/page';

export default function Usage() {
  return <Page title="Usage">{null}</Page>;
}
