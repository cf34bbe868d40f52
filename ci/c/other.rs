//! Another Rust library, for a program that links it beside ours: it allocates, panics and catches that.

/// Gives 42, by way of what both libraries bring along.
#[unsafe(no_mangle)]
pub extern "C" fn other_answer() -> i32 {
    let caught = std::panic::catch_unwind(|| {
        let numbers: Vec<i32> = (1..=6).collect();
        std::panic::resume_unwind(Box::new(numbers.iter().sum::<i32>() * 2));
    });
    *caught.expect_err("it panics").downcast::<i32>().expect("a number")
}
