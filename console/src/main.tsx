import { render } from 'preact';
import { App } from './app/app';
import './ui/tokens.css';
import './ui/base.css';

const root = document.getElementById('app');
if (root) render(<App />, root);
