// What the same use costs on each price sheet, beside what it would cost without ever sleeping.
import { useState } from 'preact/hooks';
import type { Bill } from '../../api/usage';
import { money, percent } from '../../charts/format';
import { Badge } from '../../ui/badge';
import { EmptyState } from '../../ui/feedback';
import { number } from '../../ui/format';
import { Chevron, Coins } from '../../ui/icons';
import { Card } from '../../ui/page';
import './cost.css';

export function Bills({ bills }: { bills: readonly Bill[] }) {
  if (bills.length === 0) return <Card flush><EmptyState icon={<Coins size={20} />} title="There are no price sheets" /></Card>;
  const highest = Math.max(...bills.map((bill) => Math.max(bill.total, bill.always_on_total)), 1e-9);
  const least = Math.min(...bills.filter(fits).map(({ total }) => total));
  return (
    <div>
      <p class="bill-legend small muted"><span class="bill-swatch bill-used" /> this use <span class="bill-swatch bill-always" /> the same without sleep, 24/7</p>
      <ul class="table-frame bills">
        {[...bills].sort((a, b) => a.total - b.total).map((bill) => <Line key={bill.id} bill={bill} highest={highest} least={fits(bill) && bill.total === least} />)}
      </ul>
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
        <span class="bill-name"><b>{bill.provider}</b> <span class="muted">{bill.plan}</span>{least && <Badge tone="ok">least</Badge>}{!fits(bill) && <Badge tone="busy" title={bill.notes.join(' ')}>does not fit</Badge>}<span class="small faint bill-date">prices of {bill.dated}</span></span>
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
                <tr key={line.item}><th scope="row">{line.item}</th><td class="num">{number(line.quantity, 3)} {line.unit}</td><td class="num">{money(line.unit_price, bill.currency)}</td><td class="num">{money(line.amount, bill.currency)}</td></tr>
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
