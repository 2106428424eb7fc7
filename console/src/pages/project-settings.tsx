import { Page } from '../ui/page';

export default function ProjectSettings() {
  return <Page title="Settings">{null}</Page>;
}
