use super::read;

#[test]
fn the_steps_in_the_document_are_those_of_the_program() {
    let (document, program) = (read("docs/migration.md"), read("examples/migration/steps.rs"));
    let blocks: Vec<&str> = document.split("```rust,no_run\n").skip(1).collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        let from = block.find("    let breaker").or_else(|| block.find("    let stack")).unwrap();
        let block = &block[from..];
        let client = block.find("    let client").unwrap();
        let (wiring, rest) = block.split_at(client);
        let wiring = format!("{wiring}{}\n", rest.lines().next().unwrap());
        assert!(program.contains(&wiring), "not in the program:\n{wiring}");
    }
}
