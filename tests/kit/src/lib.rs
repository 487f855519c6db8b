//! The test kit: a proxy that injects faults between the functions and the AWS emulators.

pub mod fault_proxy;
