// The text field: CodeMirror with PostgreSQL's syntax, loaded only with the page that has it.
//
// It lives in a shadow root: there it uses constructed style sheets, which the Content-Security-Policy allows; in the
// document it would add a <style> element, which is refused. Colours come from tokens.css through CSS variables.
import { autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { PostgreSQL, sql } from '@codemirror/lang-sql';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, Prec, StateEffect, StateField } from '@codemirror/state';
import { Decoration, drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder, type DecorationSet } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Schema } from './schema';

export interface Editor {
  text(): string;
  setText(text: string): void;
  selection(): { from: number; to: number };
  /** Underlines a place; `null` takes it away. */
  mark(range: { from: number; to: number } | null): void;
  goTo(at: number): void;
  setSchema(schema: Schema): void;
  focus(): void;
  destroy(): void;
}

export interface Options {
  text: string;
  /** Ctrl+Enter: the statement at the cursor, or what is selected. With Shift: everything. */
  onRun: (all: boolean) => void;
  onChange: (text: string) => void;
}

const theme = EditorView.theme({
  '&': { height: '100%', fontSize: '0.8125rem', color: 'var(--text)', backgroundColor: 'var(--surface)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-content': { caretColor: 'var(--text)', padding: '0.5rem 0' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--text-3)', border: 'none', paddingLeft: '0.25rem' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--surface-2) 60%, transparent)' },
  '.cm-activeLineGutter': { backgroundColor: 'var(--surface-2)', color: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--accent-soft)' },
  '.cm-selectionMatch': { backgroundColor: 'var(--surface-3)' },
  '.cm-placeholder': { color: 'var(--text-3)' },
  '.cm-problem': { textDecoration: 'underline wavy var(--bad) 1.5px', textUnderlineOffset: '3px', backgroundColor: 'var(--bad-soft)' },
  '.cm-tooltip': { backgroundColor: 'var(--overlay)', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '6px', boxShadow: 'var(--shadow-over)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', maxHeight: '14rem' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent-soft)', color: 'var(--text)' },
  '.cm-panels': { backgroundColor: 'var(--surface-2)', color: 'var(--text)' },
  '.cm-panel.cm-search': { fontFamily: 'var(--sans)' },
  '.cm-textfield, .cm-button': { backgroundColor: 'var(--surface)', backgroundImage: 'none', color: 'var(--text)', border: '1px solid var(--line-strong)', borderRadius: '4px' },
  '.cm-matchingBracket': { backgroundColor: 'var(--surface-3)', outline: 'none' },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: 'var(--series-2)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--ok)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--series-4)' },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: 'var(--text-3)', fontStyle: 'italic' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'var(--series-5)' },
  { tag: [tags.special(tags.name)], color: 'var(--series-6)' },
]);

const setMark = StateEffect.define<{ from: number; to: number } | null>();

const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(value, transaction) {
    // Whoever types is mending it.
    let next = transaction.docChanged ? Decoration.none : value;
    for (const effect of transaction.effects) {
      if (!effect.is(setMark)) continue;
      const range = effect.value;
      next = range && range.to > range.from ? Decoration.set([Decoration.mark({ class: 'cm-problem' }).range(range.from, range.to)]) : Decoration.none;
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function language(schema: Schema) {
  const { pg_catalog: catalog = {}, ...rest } = schema;
  return sql({ dialect: PostgreSQL, schema: { ...rest, pg_catalog: catalog, ...catalog }, defaultSchema: 'public', upperCaseKeywords: false });
}

export function createEditor(host: HTMLElement, { text, onRun, onChange }: Options): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const lang = new Compartment();
  const run = (all: boolean) => (view: EditorView) => {
    closeCompletion(view);
    onRun(all);
    return true;
  };
  const view = new EditorView({
    root,
    parent: root as unknown as Element,
    state: EditorState.create({
      doc: text,
      selection: { anchor: text.length },
      extensions: [
        Prec.highest(keymap.of([{ key: 'Mod-Enter', run: run(false) }, { key: 'Shift-Mod-Enter', run: run(true) }])),
        lineNumbers(), highlightActiveLine(), highlightActiveLineGutter(), history(), drawSelection(), indentOnInput(),
        bracketMatching(), closeBrackets(), autocompletion({ icons: false }), highlightSelectionMatches(), search({ top: true }),
        syntaxHighlighting(colours), lang.of(language({})), marks, theme, EditorView.lineWrapping,
        placeholder('select …'),
        // Tab moves on to the next control, as everywhere; Enter and the completion's own keys are enough.
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap]),
        EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false', autocapitalize: 'off' }),
        EditorView.updateListener.of((update) => { if (update.docChanged) onChange(update.state.doc.toString()); }),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText(next) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next }, selection: { anchor: next.length } });
    },
    selection: () => ({ from: view.state.selection.main.from, to: view.state.selection.main.to }),
    mark(range) {
      const most = view.state.doc.length;
      view.dispatch({ effects: setMark.of(range && { from: Math.min(range.from, most), to: Math.min(range.to, most) }) });
    },
    goTo(at) {
      view.dispatch({ selection: { anchor: Math.min(at, view.state.doc.length) }, scrollIntoView: true });
      view.focus();
    },
    setSchema: (schema) => view.dispatch({ effects: lang.reconfigure(language(schema)) }),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
