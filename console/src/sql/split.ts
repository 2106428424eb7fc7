// Cuts a text into SQL statements, as psql does. Pure.
//
// A semicolon ends a statement unless it is within quotes, a dollar quote, a comment, parentheses, or the body of
// a function that is written with `BEGIN ATOMIC … END`.

/** One statement and where it is in the text (UTF-16 units; `to` is after its last character, without `;`). */
export interface Statement {
  text: string;
  from: number;
  to: number;
}

const IDENT = /[\p{L}_][\p{L}\p{N}_$]*/uy;
const DOLLAR = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

function match(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

/** After the quote that closes what opens at `at`; the end of the text when nothing closes it. */
function quoted(text: string, at: number, quote: string, escapes: boolean): number {
  for (let n = at + 1; n < text.length; n++) {
    if (escapes && text[n] === '\\') n++;
    else if (text[n] === quote) {
      if (text[n + 1] !== quote) return n + 1;
      n++;
    }
  }
  return text.length;
}

/** After a comment that opens at `at`; they nest. */
function blockComment(text: string, at: number): number {
  let depth = 0;
  for (let n = at; n < text.length; n++) {
    if (text.startsWith('/*', n)) {
      depth++;
      n++;
    } else if (text.startsWith('*/', n)) {
      depth--;
      n++;
      if (depth === 0) return n + 1;
    }
  }
  return text.length;
}

/** What the words of a statement so far mean for a semicolon. */
class Words {
  /** The first words, as `CREATE OR REPLACE FUNCTION` shows within four. */
  private first: string[] = [];
  private begins = 0;

  take(word: string): void {
    const upper = word.toUpperCase();
    if (this.first.length < 4) this.first.push(upper);
    if (!this.makesRoutine()) return;
    if (upper === 'BEGIN' || (upper === 'CASE' && this.begins > 0)) this.begins++;
    else if (upper === 'END' && this.begins > 0) this.begins--;
  }

  private makesRoutine(): boolean {
    const [create, second, third, fourth] = this.first;
    if (create !== 'CREATE') return false;
    const what = second === 'OR' && third === 'REPLACE' ? fourth : second;
    return what === 'FUNCTION' || what === 'PROCEDURE';
  }

  get isInBody(): boolean {
    return this.begins > 0;
  }
}

/** All statements of a text, in order. What is only space and comments is none. */
export function split(text: string): Statement[] {
  const out: Statement[] = [];
  let words = new Words();
  let depth = 0;
  /** The first character of the statement that is not space or comment; −1: none yet. */
  let start = -1;
  let end = 0;
  let at = 0;
  const finish = () => {
    if (start >= 0) out.push({ text: text.slice(start, end), from: start, to: end });
    words = new Words();
    depth = 0;
    start = -1;
  };
  while (at < text.length) {
    const char = text[at] as string;
    let next = at + 1;
    let counts = true;
    const word = match(IDENT, text, at);
    if (/\s/.test(char)) counts = false;
    else if (text.startsWith('--', at)) {
      const line = text.indexOf('\n', at);
      next = line < 0 ? text.length : line + 1;
      counts = false;
    } else if (text.startsWith('/*', at)) {
      next = blockComment(text, at);
      counts = false;
    } else if (char === "'") next = quoted(text, at, "'", false);
    else if (char === '"') next = quoted(text, at, '"', false);
    else if (char === '$') {
      const tag = match(DOLLAR, text, at);
      if (tag !== null) {
        const close = text.indexOf(tag, at + tag.length);
        next = close < 0 ? text.length : close + tag.length;
      }
    } else if (word !== null) {
      next = at + word.length;
      // E'…' has escapes; the quote belongs to the word before it.
      if (/^e$/i.test(word) && text[next] === "'") next = quoted(text, next, "'", true);
      else words.take(word);
    } else if (/\d/.test(char)) {
      // 1$$ would be a parameter sign, not a dollar quote; a number takes its letters along.
      next = at + (/^[\d.]+[\p{L}\p{N}_$]*/u.exec(text.slice(at, at + 64))?.[0].length ?? 1);
    } else if (char === '(') depth++;
    else if (char === ')') depth = Math.max(0, depth - 1);
    else if (char === ';' && depth === 0 && !words.isInBody) {
      finish();
      at = next;
      continue;
    }
    if (counts) {
      if (start < 0) start = at;
      end = next;
    }
    at = next;
  }
  finish();
  return out;
}

/** The statement that the cursor is in, or right behind; else the one before it; `null` when there is none. */
export function statementAt(statements: readonly Statement[], cursor: number): Statement | null {
  let before: Statement | null = null;
  for (const statement of statements) {
    if (cursor < statement.from) return before ?? statement;
    if (cursor <= statement.to + 1) return statement;
    before = statement;
  }
  return before;
}

/** PostgreSQL counts positions in characters from 1; back comes a place in the string, in UTF-16 units. */
export function place(text: string, position: number): number {
  let at = 0;
  for (let n = 1; n < position && at < text.length; n++) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}

/** The first word of a statement in capitals: what kind it is. */
export function verb(statement: string): string {
  const bare = statement.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\()+/, '');
  return /^[A-Za-z]+/.exec(bare)?.[0].toUpperCase() ?? '';
}
