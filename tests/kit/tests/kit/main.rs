//! Tests of the test kit itself: that a fault does to a call exactly what it says, and that a function's process meets
//! the Runtime API it would meet on Lambda.

#[cfg(test)]
mod fault_proxy;
#[cfg(test)]
mod runtime_api;
