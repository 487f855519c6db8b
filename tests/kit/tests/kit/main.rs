//! Tests of the test kit itself: that a fault does to a call exactly what it says.

#[cfg(test)]
mod fault_proxy;
