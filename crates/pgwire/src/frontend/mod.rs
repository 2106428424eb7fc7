//! Messages that clients send: one file each. Servers decode them, our own clients encode them.
//!
//! Only those whose bodies matter to a proxy are here; all others pass by unread.
//!
//! ```text
//!  'p' PasswordMessage      password\0                       after AuthenticationCleartextPassword
//!  'p' SASLInitialResponse  mechanism\0 length:i32 data      after AuthenticationSASL
//!  'p' SASLResponse         data                             after AuthenticationSASLContinue
//!  'Q' Query                sql\0
//!  'X' Terminate
//!  'd' StandbyStatusUpdate  'r' written flushed applied    in a replication session
//!  'c' CopyDone                                            ends a replication stream
//! ```

mod copy_done;
mod password_message;
mod query;
mod sasl_initial_response;
mod sasl_response;
mod standby_status_update;
mod terminate;

pub use copy_done::CopyDone;
pub use password_message::PasswordMessage;
pub use query::Query;
pub use sasl_initial_response::SaslInitialResponse;
pub use sasl_response::SaslResponse;
pub use standby_status_update::StandbyStatusUpdate;
pub use terminate::Terminate;
