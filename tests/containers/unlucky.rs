//! What a container of the driver's tests runs that is not to serve: it fails as its first argument
//! says.

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("greedy") => {
            let mut taken = Vec::new();
            loop {
                // Written to, because memory that was only asked for is not taken yet.
                taken.push(vec![1_u8; 1 << 20]);
            }
        }
        _ => {
            eprintln!("no luck today");
            std::process::exit(3);
        }
    }
}
