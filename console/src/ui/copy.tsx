import { useEffect, useState } from 'preact/hooks';
import { Button } from './button';
import { Check, Copy } from './icons';
import { failed } from './toast';
import './copy.css';

const SHOWN_MS = 1500;

/** Puts text on the clipboard, also where browsers offer no clipboard (plain HTTP away from loopback). */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    try { return await navigator.clipboard.writeText(text); } catch { /* The old way may be allowed. */ }
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'sr';
  // A modal dialog makes everything outside it inert.
  const host = document.querySelector('dialog:modal') ?? document.body;
  host.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (!copied) throw new Error('the browser does not allow it');
}

export function CopyButton({ text, label = 'Copy', words }: { text: string | (() => Promise<string>); label?: string; words?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (event: Event) => {
    event.stopPropagation();
    try {
      await copyText(typeof text === 'string' ? text : await text());
      setCopied(true);
    } catch (error) {
      failed('Not copied', error);
    }
  };
  return (
    <Button kind={words ? 'plain' : 'quiet'} small icon={copied ? <Check /> : <Copy />} aria-label={words ? undefined : copied ? 'Copied' : label} title={label} onClick={copy}>
      {words && (copied ? 'Copied' : words)}
    </Button>
  );
}

/** A piece of text with a button that copies it. */
export function Copyable({ text }: { text: string }) {
  return <span class="copyable"><code class="truncate" title={text}>{text}</code><CopyButton text={text} label={`Copy ${text}`} /></span>;
}

/** A block of code with a button that copies it. */
export function CodeBlock({ text, copy = text, label }: { text: string; copy?: string; label: string }) {
  return (
    <div class="code-block">
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
      <CopyButton text={copy} label={`Copy ${label}`} />
    </div>
  );
}
