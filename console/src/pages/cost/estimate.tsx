// What it would cost, if: sliders for how much a database is used, and every price sheet's answer.
import { useEffect, useState } from 'preact/hooks';
import { isAbort, request } from '../../api/client';
import type { Bill, Estimate } from '../../api/usage';
import { money } from '../../charts/format';
import { Button } from '../../ui/button';
import { ErrorState } from '../../ui/feedback';
import { number } from '../../ui/format';
import { Card, Section } from '../../ui/page';
import { Bills, BillsSkeleton, fits } from './bills';

const MONTH_HOURS = 730;
/** Moving a slider asks once it rests, milliseconds. */
const RESTS_MS = 150;

interface Knob {
  key: Exclude<keyof Estimate, 'hours_in_month'>;
  label: string;
  max: number;
  step: number;
  words: (value: number) => string;
  /** Small values need more of the slider than large ones. */
  curved?: boolean;
}

const KNOBS: Knob[] = [
  { key: 'hours_active', label: 'Hours active in a month', max: MONTH_HOURS, step: 1, words: (value) => `${number(value)} h · ${number((100 * value) / MONTH_HOURS, 1)} %` },
  { key: 'average_cu', label: 'Size while active', max: 16, step: 0.25, words: (value) => `${number(value, 2)} CU` },
  { key: 'peak_cu', label: 'Size at the peak', max: 32, step: 0.25, words: (value) => `${number(value, 2)} CU` },
  { key: 'storage_gb', label: 'Data', max: 2000, step: 1, curved: true, words: (value) => `${number(value)} GB` },
  { key: 'history_gb', label: 'History', max: 1000, step: 1, curved: true, words: (value) => `${number(value)} GB` },
  { key: 'io_million', label: 'Reads and writes', max: 2000, step: 1, curved: true, words: (value) => `${number(value)} million` },
  { key: 'egress_gb', label: 'Egress', max: 2000, step: 1, curved: true, words: (value) => `${number(value)} GB` },
];

const BASE: Estimate = { hours_active: 73, hours_in_month: MONTH_HOURS, average_cu: 1, peak_cu: 2, storage_gb: 10, history_gb: 2, io_million: 10, egress_gb: 10 };

const PATTERNS = [
  { label: 'Busy: 10 % of the time', hours_active: 73 },
  { label: 'Now and then: 5 %', hours_active: 36.5 },
  { label: 'Rarely: 1 %', hours_active: 7.3 },
  { label: 'Always', hours_active: MONTH_HOURS },
];

/** Positions of a curved slider. */
const POSITIONS = 1000;

export function WhatIf() {
  const [wish, setWish] = useState(BASE);
  const [bills, setBills] = useState<Bill[]>();
  const [error, setError] = useState<Error>();
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      request<{ sheets: Bill[] }>('POST', '/cost/estimate', { body: wish, signal: abort.signal }).then(
        (reply) => { setBills(reply.sheets); setError(undefined); },
        (problem: unknown) => { if (!isAbort(problem)) setError(problem as Error); },
      );
    }, bills ? RESTS_MS : 0);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [wish, again]);
  const set = (key: Knob['key'], value: number) => setWish((old) => {
    const next = { ...old, [key]: value };
    if (key === 'average_cu') next.peak_cu = Math.max(next.peak_cu, value);
    if (key === 'peak_cu') next.average_cu = Math.min(next.average_cu, value);
    return next;
  });
  const cheapest = bills && bills.filter(fits).sort((a, b) => a.total - b.total)[0];
  return (
    <Section title="What if" lead="Move the sliders: what a month of such use costs on each price sheet.">
      <div class="whatif">
        <Card>
          <div class="stack">
            <div class="row wrap">
              {PATTERNS.map((pattern) => <Button key={pattern.label} small kind={wish.hours_active === pattern.hours_active ? 'primary' : 'plain'} aria-pressed={wish.hours_active === pattern.hours_active} onClick={() => set('hours_active', pattern.hours_active)}>{pattern.label}</Button>)}
            </div>
            {KNOBS.map((knob) => <Slider key={knob.key} knob={knob} value={wish[knob.key]} onValue={(value) => set(knob.key, value)} />)}
          </div>
        </Card>
        <div class="stack">
          <p class="small muted" aria-live="polite">{cheapest ? <>Least: <b>{cheapest.provider} {cheapest.plan}</b>, {money(cheapest.total, cheapest.currency)} a month.</> : '\u00a0'}</p>
          {error && !bills ? <Card flush><ErrorState error={error} retry={() => setAgain((n) => n + 1)} what="The estimate cannot be shown" /></Card> : bills ? <Bills bills={bills} /> : <BillsSkeleton />}
          {error && bills && <p class="note note-bad" role="alert">{error.message}</p>}
        </div>
      </div>
    </Section>
  );
}

function Slider({ knob, value, onValue }: { knob: Knob; value: number; onValue: (value: number) => void }) {
  const { label, max, step, words, curved } = knob;
  const min = step < 1 ? step : 0;
  // With a square, half of the slider is a quarter of the range.
  const position = curved ? Math.sqrt(value / max) * POSITIONS : value;
  const read = (text: string) => {
    const at = Number(text);
    return curved ? Math.round(((at / POSITIONS) ** 2 * max) / step) * step : at;
  };
  return (
    <label class="slider">
      <span class="row between"><span>{label}</span><span class="slider-value">{words(value)}</span></span>
      <input type="range" min={curved ? 0 : min} max={curved ? POSITIONS : max} step={curved ? 1 : step} value={position} aria-valuetext={words(value)} onInput={(event) => onValue(read(event.currentTarget.value))} />
    </label>
  );
}
