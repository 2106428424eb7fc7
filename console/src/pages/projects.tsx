import { Page } from '../ui/page';

export default function Projects() {
  return <Page title="Projects">{null}</Page>;
}
