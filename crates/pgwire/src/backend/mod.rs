//! Messages that servers send: one file each. The proxy writes them while it plays the server, and reads those
//! of the real PostgreSQL while it opens a connection to it.
//!
//! ```text
//!  server                                        meaning
//!  R AuthenticationSASL / …Continue / …Final     prove who you are          ┐
//!  R AuthenticationOk                            you did                    │ handshake
//!  v NegotiateProtocolVersion (sometimes)        speak an older minor       │
//!  S ParameterStatus …  K BackendKeyData         what this session is like  ┘
//!  Z ReadyForQuery                               your turn
//!  E ErrorResponse, N NoticeResponse             at nearly any time
//! ```
//!
//! [`Handshake`] reads any of them by tag. What comes after the first ReadyForQuery is [`crate::scan`]'s, except
//! in a physical replication session, which is our own:
//!
//! ```text
//!  D DataRow                                     the answer of IDENTIFY_SYSTEM and of a timeline's end
//!  W CopyBothResponse                            replication begins
//!  d(w) XLogData, d(k) PrimaryKeepalive          WAL, and "are you there?"
//! ```

mod authentication;
mod backend_key_data;
mod copy_both_response;
mod data_row;
mod error_response;
mod fields;
mod handshake;
mod negotiate_protocol_version;
mod notice_response;
mod parameter_status;
mod primary_keepalive;
mod ready_for_query;
mod severity;
mod xlog_data;

pub use authentication::{
    Authentication, AuthenticationCleartextPassword, AuthenticationMd5Password, AuthenticationOk,
    AuthenticationSasl, SaslContinue, SaslFinal,
};
pub use backend_key_data::BackendKeyData;
pub use copy_both_response::CopyBothResponse;
pub use data_row::DataRow;
pub use error_response::ErrorResponse;
pub use fields::Fields;
pub use handshake::Handshake;
pub use negotiate_protocol_version::NegotiateProtocolVersion;
pub use notice_response::NoticeResponse;
pub use parameter_status::ParameterStatus;
pub use primary_keepalive::PrimaryKeepalive;
pub use ready_for_query::{ReadyForQuery, TxStatus};
pub use severity::Severity;
pub use xlog_data::XLogData;
