//! Resolving and fetching from a small signed archive that the tests make and serve themselves: what works, and every
//! way in which an archive can be wrong.

mod downloads;
mod locks;
mod publisher;
#[allow(dead_code, reason = "tests/failures uses more of it")]
mod server;
