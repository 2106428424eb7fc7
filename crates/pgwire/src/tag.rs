//! The first byte of every message after the startup packet. The same letter can mean different things in the
//! two directions, so there are two lists.

/// Client to server.
pub mod frontend {
    /// Password, SASL initial response and SASL response share this tag; the server knows which it asked for.
    pub const PASSWORD: u8 = b'p';
    /// Simple query.
    pub const QUERY: u8 = b'Q';
    /// Parse (extended query).
    pub const PARSE: u8 = b'P';
    /// Bind (extended query).
    pub const BIND: u8 = b'B';
    /// Describe (extended query).
    pub const DESCRIBE: u8 = b'D';
    /// Execute (extended query).
    pub const EXECUTE: u8 = b'E';
    /// Close (extended query).
    pub const CLOSE: u8 = b'C';
    /// Flush (extended query).
    pub const FLUSH: u8 = b'H';
    /// Sync (extended query): ends a pipeline step, is answered by ReadyForQuery.
    pub const SYNC: u8 = b'S';
    /// Function call (old fast path).
    pub const FUNCTION_CALL: u8 = b'F';
    /// A piece of COPY data.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY data.
    pub const COPY_DONE: u8 = b'c';
    /// The client gives up a COPY.
    pub const COPY_FAIL: u8 = b'f';
    /// Goodbye.
    pub const TERMINATE: u8 = b'X';
}

/// Server to client.
pub mod backend {
    /// All authentication requests; a 32-bit code in the body tells them apart.
    pub const AUTHENTICATION: u8 = b'R';
    /// Process id and secret for cancelling.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// A setting's current value. Can come at any time.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// The server waits for the next command.
    pub const READY_FOR_QUERY: u8 = b'Z';
    /// An error.
    pub const ERROR_RESPONSE: u8 = b'E';
    /// A warning or note. Can come at any time.
    pub const NOTICE_RESPONSE: u8 = b'N';
    /// A NOTIFY that this session listens for. Can come at any time.
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    /// The server does not know the minor version or a `_pq_.` option.
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    /// One row.
    pub const DATA_ROW: u8 = b'D';
    /// A statement ended well.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// The statement was empty.
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    /// What the columns of the rows to come are.
    pub const ROW_DESCRIPTION: u8 = b'T';
    /// The server waits for COPY data.
    pub const COPY_IN_RESPONSE: u8 = b'G';
    /// From now on both sides send COPY data: replication begins.
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    /// A piece of COPY data.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY data.
    pub const COPY_DONE: u8 = b'c';
}
