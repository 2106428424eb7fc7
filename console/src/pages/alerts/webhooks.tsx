// Who is told when an alert changes: addresses that get a signed POST.
import { useState } from 'preact/hooks';
import { request, seg } from '../../api/client';
import { useResource } from '../../api/resource';
import type { Delivery, Webhook } from '../../api/statistics';
import { Badge } from '../../ui/badge';
import { Button } from '../../ui/button';
import { Confirm } from '../../ui/confirm';
import { CodeBlock } from '../../ui/copy';
import { Dialog } from '../../ui/dialog';
import { EmptyState, ErrorState, FormError, SkeletonRows } from '../../ui/feedback';
import { Field, TextInput } from '../../ui/field';
import { count } from '../../ui/format';
import { Close, External, Plus } from '../../ui/icons';
import { Card } from '../../ui/page';
import { Time } from '../../ui/time';
import { done, failed } from '../../ui/toast';

export function Webhooks() {
  const reply = useResource<{ webhooks: Webhook[] }>('/alerts/webhooks', { every: 5000 });
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState<string>();
  const [busy, setBusy] = useState('');
  const [removing, setRemoving] = useState<Webhook>();
  const hooks = reply.data?.webhooks;
  const test = async (hook: Webhook) => {
    setBusy(hook.id);
    try {
      const { delivery } = await request<{ delivery: Delivery }>('POST', `/alerts/webhooks/${seg(hook.id)}/test`);
      if (delivery.state === 'delivered') done(`${hook.name} answered ${delivery.status}`);
      else failed('Not delivered', new Error(delivery.error ?? (delivery.status ? `It answered ${delivery.status}.` : 'No answer.')));
    } catch (error) {
      failed('Not tested', error);
    } finally {
      setBusy('');
      void reply.refresh();
    }
  };
  const remove = async (hook: Webhook) => {
    await request('DELETE', `/alerts/webhooks/${seg(hook.id)}`);
    done(`${hook.name} is removed.`);
    void reply.refresh();
  };
  return (
    <>
      <div class="row between"><p class="muted small">Notices are signed, so that the receiver can tell who sent them, and tried again when it does not answer.</p><Button small icon={<Plus />} onClick={() => setAdding(true)}>Add a webhook</Button></div>
      <Card flush>
        {reply.error && !hooks ? <ErrorState error={reply.error} retry={() => void reply.refresh()} what="The webhooks cannot be shown" />
          : !hooks ? <SkeletonRows rows={2} />
          : hooks.length === 0 ? <EmptyState icon={<External size={20} />} title="Nobody is told yet">A webhook gets a POST whenever an alert changes. Chat programs and pagers take such requests.</EmptyState>
          : (
            <ul class="list">
              {hooks.map((hook) => (
                <li key={hook.id} class="list-row hook">
                  <span class="grow hook-name"><b>{hook.name}</b><code class="small muted truncate" title={hook.url}>{hook.url}</code></span>
                  <span class="hook-last small"><Last delivery={hook.last_delivery} />{hook.pending > 0 && <span class="muted"> {count(hook.pending, 'notice')} in line</span>}</span>
                  <span class="hook-do">
                    <Button small busy={busy === hook.id} onClick={() => void test(hook)}>Test</Button>
                    <Button small kind="quiet" icon={<Close />} aria-label={`Remove ${hook.name}`} onClick={() => setRemoving(hook)} />
                  </span>
                </li>
              ))}
            </ul>
          )}
      </Card>
      {removing && (
        <Confirm title={`Remove ${removing.name}`} action="Remove webhook" onClose={() => setRemoving(undefined)} onConfirm={() => remove(removing)}>
          <p>It is not told any more{removing.pending > 0 && <>, nor are the {count(removing.pending, 'notice')} in line</>}. Its secret is gone: a webhook that is added again gets another one.</p>
        </Confirm>
      )}
      {adding && <Add onClose={() => setAdding(false)} onAdded={(made) => { setAdding(false); setSecret(made); void reply.refresh(); }} />}
      {secret !== undefined && (
        <Dialog title="The webhook's secret" onClose={() => setSecret(undefined)} footer={<Button kind="primary" onClick={() => setSecret(undefined)}>I have it</Button>}>
          <p>Notices are signed with it, in the header <code>Dormouse-Signature</code>. It is not shown again.</p>
          <CodeBlock text={secret} label="secret" />
        </Dialog>
      )}
    </>
  );
}

function Last({ delivery }: { delivery: Delivery | undefined }) {
  if (!delivery) return <span class="muted">Nothing sent yet</span>;
  if (delivery.state === 'delivered') return <><Badge tone="ok">Delivered</Badge> <Time at={delivery.at} /></>;
  if (delivery.state === 'pending') return <><Badge tone="busy">{delivery.attempts > 0 ? 'Will retry' : 'Waiting'}</Badge> {delivery.next_at && <Time at={delivery.next_at} />}</>;
  return <><Badge tone="bad" {...(delivery.error ? { title: delivery.error } : {})}>Failed{delivery.status ? ` ${delivery.status}` : ''}</Badge> <Time at={delivery.at} /></>;
}

function Add({ onClose, onAdded }: { onClose: () => void; onAdded: (secret: string) => void }) {
  const [url, setUrl] = useState('');
  const [name, setName] = useState('');
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const add = async () => {
    setBusy(true);
    setError(undefined);
    try {
      onAdded((await request<{ secret: string }>('POST', '/alerts/webhooks', { body: { url, ...(name && { name }) } })).secret);
    } catch (problem) {
      setError(problem as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add a webhook" onClose={onClose} onSubmit={() => void add()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Add</Button></>}>
      <FormError error={error} />
      <Field label="Address" hint="https://… or http://…"><TextInput type="url" required value={url} onValue={setUrl} placeholder="https://example.com/hooks/dormouse" /></Field>
      <Field label="Name" hint="The host of the address when empty."><TextInput maxLength={100} value={name} onValue={setName} /></Field>
    </Dialog>
  );
}
