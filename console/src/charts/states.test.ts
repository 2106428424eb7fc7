import { describe, expect, it } from 'vitest';
import { sums, timeline, wakeOf, type EndpointEvent } from './states';

let id = 0;
const event = (seconds: number, kind: string, detail: Record<string, unknown> = {}): EndpointEvent => ({
  id: ++id, at: new Date(seconds * 1000).toISOString(), kind, detail,
});
const now = (state: 'active' | 'stopped' | 'paused', created = 0) => ({ state, created });
const shape = (events: EndpointEvent[], from: number, to: number, at = now('active')) =>
  timeline(events, from * 1000, to * 1000, at).spans.map((span) => `${span.state} ${span.from / 1000}-${span.to / 1000}`);

describe('the timeline', () => {
  const life = () => [
    event(10, 'woke', { cause: 'client', phases: { queue_us: 0, spawn_us: 500_000, ready_us: 1_500_000 } }),
    event(30, 'paused', { reason: 'idle', how: 'cgroup2' }),
    event(40, 'thawed', { cause: 'client', thaw_us: 500_000 }),
    event(60, 'stopped', { reason: 'idle', took_ms: 1000 }),
  ];

  it('is made of what happened', () => {
    expect(shape(life(), 0, 100, now('stopped'))).toEqual([
      'unknown 0-8', 'starting 8-10', 'active 10-30', 'paused 30-39.5', 'starting 39.5-40', 'active 40-59', 'stopping 59-60', 'stopped 60-100',
    ]);
  });

  it('does not mind the order, and is cut to the window', () => {
    expect(shape(life().reverse(), 15, 35)).toEqual(['active 15-30', 'paused 30-35']);
  });

  it('does not know what was before the list, nor before the endpoint', () => {
    expect(shape([], 0, 10, now('stopped', 4000))).toEqual(['stopped 4-10']);
    expect(shape([event(7, 'stopped')], 0, 10, now('stopped', 4000))).toEqual(['unknown 4-7', 'stopped 7-10']);
  });

  it('marks what is no state', () => {
    const { marks } = timeline(
      [event(5, 'crashed', { how: 'signal 9', log_tail: [] }), event(6, 'resized', { from_cu: 0.25, to_cu: 1, reason: 'cpu' })],
      0, 10_000, now('stopped'));
    expect(marks.map(({ text, bad }) => [text, bad])).toEqual([['crashed: signal 9', true], ['0.25 → 1 CU (cpu)', false]]);
  });

  it('takes wakes apart', () => {
    const wake = wakeOf(event(1, 'woke', { cause: 'schedule', phases: { spawn_us: 1500, connect_us: 500 } }));
    expect([wake?.total, wake?.cause, wake?.phases.find(({ name }) => name === 'spawn')?.ms]).toEqual([2, 'schedule', 1.5]);
    expect(wakeOf(event(1, 'paused'))).toBeNull();
    expect(wakeOf(event(1, 'woke'))?.total).toBe(0);
  });

  it('adds up', () => {
    const { spans } = timeline(life(), 0, 100_000, now('stopped'));
    const all = sums(spans);
    expect(all.stopped).toBe(40_000);
    expect(Object.values(all).reduce((a, b) => a + b)).toBeCloseTo(100_000);
  });
});
