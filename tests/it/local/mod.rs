//! The local stack, in process: Lambda's Invoke API and the schedules.

mod invoke;
mod schedules;
