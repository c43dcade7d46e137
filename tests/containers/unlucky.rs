//! Program of a container that must fail, for the tests of the Docker driver. The first argument selects
//! the failure.

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("greedy") => {
            let mut memory = Vec::new();
            loop {
                // Writes to the memory, because untouched pages are not allocated.
                memory.push(vec![1_u8; 1 << 20]);
            }
        }
        _ => {
            eprintln!("no luck today");
            std::process::exit(3);
        }
    }
}
