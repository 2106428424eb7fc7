// Reads server-sent events from the chunks of a response. Pure.
//
// `EventSource` cannot POST, so the stream is read by hand.

/** One event. */
export interface ServerEvent {
  name: string;
  data: string;
}

/** Takes text as it comes, gives whole events. */
export class EventReader {
  private rest = '';
  private name = '';
  private data: string[] = [];

  /** The events that end in this chunk. */
  push(chunk: string): ServerEvent[] {
    const end = chunk.lastIndexOf('\n');
    if (end < 0) {
      // A value of many megabytes is one line in hundreds of pieces: it is not looked through again with each of them.
      this.rest += chunk;
      return [];
    }
    const lines = (this.rest + chunk.slice(0, end)).split('\n');
    this.rest = chunk.slice(end + 1);
    const out: ServerEvent[] = [];
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.data.length > 0) out.push({ name: this.name || 'message', data: this.data.join('\n') });
        this.name = '';
        this.data = [];
      } else if (line.startsWith('event:')) this.name = line.slice(6).trim();
      else if (line.startsWith('data:')) this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
    return out;
  }
}
