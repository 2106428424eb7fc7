// What the same use costs on each price sheet, beside what it would cost without ever sleeping.
import { useState } from 'preact/hooks';
import type { Bill } from '../../api/usage';
import { money, percent, unitPrice } from '../../charts/format';
import { Badge } from '../../ui/badge';
import { EmptyState, Skeleton } from '../../ui/feedback';
import { number } from '../../ui/format';
import { Chevron, Coins } from '../../ui/icons';
import { Card } from '../../ui/page';
import '../../charts/charts.css';
import './cost.css';

export function Bills({ bills }: { bills: readonly Bill[] }) {
  if (bills.length === 0) return <Card flush><EmptyState icon={<Coins size={20} />} title="There are no price sheets" /></Card>;
  const highest = Math.max(...bills.map((bill) => Math.max(bill.total, bill.always_on_total)), 1e-9);
  const least = Math.min(...bills.filter(fits).map(({ total }) => total));
  return (
    <div>
      <p class="bill-legend small muted"><span class="swatch bill-used" /> this use <span class="swatch bill-always" /> the same without sleep, 24/7</p>
      <ul class="table-frame bills">
        {[...bills].sort((a, b) => a.total - b.total).map((bill) => <Line key={bill.id} bill={bill} highest={highest} least={fits(bill) && bill.total === least} />)}
      </ul>
    </div>
  );
}

/** Price sheets that come with the server. */
const BUILT_IN = 11;

/** As high as what comes. */
export function BillsSkeleton() {
  return (
    <div role="status" aria-label="Loading">
      <p class="bill-legend small"><Skeleton width="16rem" height="0.75rem" /></p>
      <ul class="table-frame bills" aria-hidden="true">{Array.from({ length: BUILT_IN }, (_, n) => <li key={n} class="bill"><div class="bill-head"><span /><Skeleton width={`${80 - ((n * 17) % 40)}%`} height="0.75rem" /></div></li>)}</ul>
    </div>
  );
}

/** Whether a plan allows so much. */
export const fits = (bill: Bill): boolean => bill.fits !== false;

function Line({ bill, highest, least }: { bill: Bill; highest: number; least: boolean }) {
  const [open, setOpen] = useState(false);
  const width = (amount: number) => `${Math.max(0.4, (100 * Math.max(0, amount)) / highest)}%`;
  return (
    <li class="bill" data-sheet={bill.id}>
      <button type="button" class="bill-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Chevron size={12} class={open ? 'bill-open' : ''} />
        <span class="bill-name">
          <span class="truncate" title={`${bill.provider} ${bill.plan}`}><b>{bill.provider}</b> <span class="muted">{bill.plan}</span></span>
          <span class="bill-sub small faint"><span class="truncate">{bill.region && bill.region !== 'all' ? `${bill.region}, ` : ''}prices of {bill.dated}</span>{least && <Badge tone="ok">least</Badge>}{!fits(bill) && <Badge tone="busy" title={bill.notes.join(' ')}>does not fit</Badge>}</span>
        </span>
        <span class="bill-bars" aria-hidden="true"><span class="bill-bar bill-used" style={{ width: width(bill.total) }} /><span class="bill-bar bill-always" style={{ width: width(bill.always_on_total) }} /></span>
        <span class="bill-total num"><b>{money(bill.total, bill.currency)}</b><span class="small muted">of {money(bill.always_on_total, bill.currency)}</span></span>
        <span class="bill-saving num">{bill.saving > 0 ? <span class="good">saves {percent(bill.saving_percent)}</span> : <span class="faint">no saving</span>}</span>
      </button>
      {open && (
        <div class="bill-lines">
          <table>
            <thead><tr><th scope="col">What</th><th scope="col" class="num">How much</th><th scope="col" class="num">Price</th><th scope="col" class="num">Amount</th></tr></thead>
            <tbody>
              {bill.lines.map((line) => (
                <tr key={line.item}><th scope="row">{line.item}</th><td class="num">{number(line.quantity, 3)} {line.unit}</td><td class="num">{unitPrice(line.unit_price, bill.currency)}</td><td class="num">{money(line.amount, bill.currency)}</td></tr>
              ))}
            </tbody>
            <tfoot>
              <tr><th scope="row" colSpan={3}>Total</th><td class="num"><b>{money(bill.total, bill.currency)}</b></td></tr>
              <tr><th scope="row" colSpan={3}>Without sleep, 24/7</th><td class="num">{money(bill.always_on_total, bill.currency)}</td></tr>
              <tr><th scope="row" colSpan={3}>Saving</th><td class="num">{money(bill.saving, bill.currency)}</td></tr>
            </tfoot>
          </table>
          {bill.notes.length > 0 && <ul class="bill-notes small muted">{bill.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
        </div>
      )}
    </li>
  );
}
