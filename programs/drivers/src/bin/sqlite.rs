//! Fills a database in a file, and asks it: `sqlite ROWS`.

use std::env;

use rusqlite::Connection;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: u32 = env::args().nth(1).ok_or("usage: sqlite ROWS")?.parse()?;
    let mut database = Connection::open("table.db")?;
    let work = database.transaction()?;
    work.execute(
        "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT, weight REAL)",
        (),
    )?;
    {
        let mut insert = work.prepare("INSERT INTO words (word, weight) VALUES (?1, ?2)")?;
        for row in 0..rows {
            let number = row.wrapping_mul(2_654_435_761);
            insert.execute((
                format!("{:x}", number % 50_000),
                f64::from(number % 1000) / 8.0,
            ))?;
        }
    }
    work.execute("CREATE INDEX by_word ON words (word)", ())?;
    work.commit()?;
    let query = "SELECT word, count(*), sum(weight) FROM words WHERE word LIKE '%a%' \
                 GROUP BY word ORDER BY 3 DESC, 1 LIMIT 20";
    let mut query = database.prepare(query)?;
    let mut answers = query.query(())?;
    while let Some(row) = answers.next()? {
        let (word, count, sum): (String, u32, f64) = row.try_into()?;
        println!("{word} {count} {sum}");
    }
    Ok(())
}
