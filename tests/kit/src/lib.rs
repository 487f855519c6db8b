//! The test kit: a proxy that injects faults between the functions and the AWS emulators, and a double of the Lambda
//! Runtime API that runs a function's real binary.

pub mod fault_proxy;
pub mod runtime_api;
