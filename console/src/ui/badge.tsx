// What something is doing, in one word and one colour; the word alone must be enough.
import type { ComponentChildren } from 'preact';
import './badge.css';

export type Tone = 'ok' | 'busy' | 'cold' | 'idle' | 'bad';

export function Badge({ tone, children, title }: { tone: Tone; children: ComponentChildren; title?: string }) {
  return <span class={`badge badge-${tone}`} title={title}>{children}</span>;
}

/** States of endpoints, branches and operations: the word that people see, its colour, and whether it will change by itself. */
const STATES: Record<string, [string, Tone, boolean]> = {
  active: ['Active', 'ok', false],
  starting: ['Waking', 'busy', true],
  paused: ['Paused', 'cold', false],
  stopping: ['Stopping', 'busy', true],
  stopped: ['Asleep', 'idle', false],
  init: ['Being made', 'busy', true],
  ready: ['Ready', 'ok', false],
  resetting: ['Getting data', 'busy', true],
  scheduling: ['Waiting', 'idle', true],
  running: ['Running', 'busy', true],
  finished: ['Finished', 'ok', false],
  failed: ['Failed', 'bad', false],
  error: ['Will retry', 'bad', true],
  cancelling: ['Cancelling', 'busy', true],
  cancelled: ['Cancelled', 'idle', false],
  skipped: ['Nothing to do', 'idle', false],
};

export function stateWords(state: string): string {
  return STATES[state]?.[0] ?? state;
}

export function stateTone(state: string): Tone {
  return STATES[state]?.[1] ?? 'idle';
}

export function StateBadge({ state, title }: { state: string; title?: string }) {
  const [words, tone, moving] = STATES[state] ?? [state, 'idle' as const, false];
  return <span class={`state state-${tone}${moving ? ' state-moving' : ''}`} title={title} data-state={state}>{words}</span>;
}
