//! roman WORD…: numbers to letters, letters to numbers.

use std::process::ExitCode;

fn answer(word: &str) -> Option<String> {
    match word.parse() {
        Ok(number) => numerals::write(number),
        Err(_) => numerals::read(word).map(|number| number.to_string()),
    }
}

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in std::env::args().skip(1) {
        if word == "--version" {
            println!("roman {}", env!("CARGO_PKG_VERSION"));
        } else if let Some(text) = answer(&word) {
            println!("{word} = {text}");
        } else {
            println!("{word} is no number");
            code = ExitCode::FAILURE;
        }
    }
    code
}
