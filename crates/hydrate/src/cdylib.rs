//! The root of the shared object; see `build.rs`. No standard library: it must be small, and must not allocate.

#![no_std]
#![allow(dead_code)]

mod layout;
mod front;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    front::die()
}
