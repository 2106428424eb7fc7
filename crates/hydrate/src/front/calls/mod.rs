//! The functions that PostgreSQL calls: each asks [`super::guard`] what is to be asked, then the kernel.
//!
//! Definitions have the C library's names only in the shared object (`export!`). Variadic functions are defined
//! with all their arguments, which is the same call on the machines we build for.

/// Defines one function under one or more exported names.
macro_rules! export {
    ($($name:ident),+ => $arguments:tt -> $ret:ty $body:block) => {
        $(export! { @one $name $arguments $ret $body })+
    };
    (@one $name:ident ($($arg:ident: $type:ty),*) $ret:ty $body:block) => {
        #[cfg_attr(dormouse_front, unsafe(no_mangle))]
        pub(super) unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            // SAFETY: the caller keeps the contract of the C library's function of this name.
            unsafe { $body }
        }
    };
}

/// `?` for functions that answer with −1 and `errno`.
macro_rules! pass {
    ($check:expr) => {
        if let Err(errno) = $check {
            return sys::fail(errno) as _;
        }
    };
}

mod bytes;
mod copies;
mod descriptors;
mod names;
mod streams;
mod truncation;
