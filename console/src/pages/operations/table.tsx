import type { ComponentChildren } from 'preact';
import type { Operation } from '../../api/types';
import { StateBadge } from '../../ui/badge';
import { Copyable } from '../../ui/copy';
import { millis, words } from '../../ui/format';
import { Table, type Column } from '../../ui/table';
import { Time } from '../../ui/time';
import './operations.css';

const MOVING = ['scheduling', 'running', 'cancelling'];

const COLUMNS: Column<Operation>[] = [
  { key: 'action', title: 'Operation', render: (operation) => (
    <div class="operation">
      <span class="operation-action">{words(operation.action)}</span>
      {operation.error && <span class="small operation-error">{operation.error}</span>}
    </div>
  ) },
  { key: 'status', title: 'Status', width: '7rem', render: (operation) => <StateBadge state={operation.status} title={operation.failures_count > 0 ? `${operation.failures_count} tries failed` : ''} /> },
  { key: 'of', title: 'Of', wide: true, render: (operation) => <Copyable text={operation.endpoint_id ?? operation.branch_id ?? operation.project_id} /> },
  { key: 'took', title: 'Took', width: '6rem', numeric: true, wide: true, render: (operation) => (MOVING.includes(operation.status) ? '…' : millis(operation.total_duration_ms)) },
  { key: 'at', title: 'Started', width: '6rem', numeric: true, render: (operation) => <Time at={operation.created_at} /> },
];

const BRIEF = COLUMNS.filter((column) => column.key !== 'of' && column.key !== 'took');

export function OperationTable({ operations, empty, brief }: { operations: Operation[] | undefined; empty: ComponentChildren; brief?: boolean }) {
  return <Table label="Operations" columns={brief ? BRIEF : COLUMNS} rows={operations} rowKey={(operation) => operation.id} empty={empty} expected={8} />;
}
