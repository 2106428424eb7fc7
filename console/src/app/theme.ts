// Dark, light, or as the system has it. public/theme.js applies the choice before the first paint.
import { createStore } from '../api/store';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'dormouse.theme';

function read(): Theme {
  const set = document.documentElement.dataset.theme;
  return set === 'dark' || set === 'light' ? set : 'system';
}

export const theme = createStore<Theme>(read());

export function setTheme(choice: Theme): void {
  const root = document.documentElement;
  if (choice === 'system') delete root.dataset.theme;
  else root.dataset.theme = choice;
  try {
    if (choice === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, choice);
  } catch {
    // It lasts until the page is closed.
  }
  theme.set(choice);
}
