// The Markdown that docs/errors is written in: headings, paragraphs, lists, code. Never HTML; text stays text.
import type { ComponentChildren } from 'preact';
import './markdown.css';

/** `code`, **strong**, *emphasis*; links to other files are only their words. */
function inline(text: string): ComponentChildren[] {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*|\[[^\]]+\]\([^)]+\))/);
  return parts.map((part, n) => {
    if (part.startsWith('`')) return <code key={n}>{part.slice(1, -1)}</code>;
    if (part.startsWith('**')) return <strong key={n}>{part.slice(2, -2)}</strong>;
    if (part.startsWith('*') && part.length > 2) return <em key={n}>{part.slice(1, -1)}</em>;
    const link = /^\[([^\]]+)\]\(([^)]+)\)$/.exec(part);
    if (!link) return part;
    const words = inline(link[1] ?? '');
    return link[2]?.startsWith('https://') ? <a key={n} href={link[2]} target="_blank" rel="noreferrer">{words}</a> : <span key={n}>{words}</span>;
  });
}

/** A line of an error or a hint, in which names of things stand in backticks. */
export function Inline({ text }: { text: string }) {
  return <>{inline(text)}</>;
}

function block(text: string, key: number): ComponentChildren {
  const heading = /^#{1,6} (.*)$/.exec(text);
  if (heading) return <h3 key={key}>{inline(heading[1] ?? '')}</h3>;
  if (/^(- |\* |\d+\. )/.test(text)) {
    const items = text.split(/\n(?=- |\* |\d+\. )/).map((item) => item.replace(/^(- |\* |\d+\. )/, '').replace(/\n\s*/g, ' '));
    return <ul key={key}>{items.map((item, n) => <li key={n}>{inline(item)}</li>)}</ul>;
  }
  if (text.startsWith('|')) return <pre key={key}>{text}</pre>;
  return <p key={key}>{inline(text.replace(/\n/g, ' '))}</p>;
}

export function Markdown({ text }: { text: string }) {
  // Code first: it may have empty lines inside.
  const parts = text.split(/^```.*\n([\s\S]*?)^```$/m);
  return (
    <div class="markdown">
      {parts.map((part, n) => (n % 2 ? <pre key={n}>{part.trimEnd()}</pre> : part.split(/\n{2,}/).map((text) => text.trim()).filter(Boolean).map(block)))}
    </div>
  );
}
