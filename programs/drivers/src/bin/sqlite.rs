//! Fills a table in a file, sorts it for an index, and asks it on so many threads: `sqlite ROWS THREADS`.

use std::error::Error;
use std::{env, thread};

use rusqlite::{Connection, OpenFlags};

const QUESTIONS: usize = 8;

const QUERY: &str = "SELECT word, count(*), sum(weight) FROM words WHERE word LIKE ?1 \
                     GROUP BY word ORDER BY 3 DESC, 1 LIMIT 5";

type Answer = (String, u32, f64);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = env::args().skip(1);
    let mut number = || arguments.next().ok_or("usage: sqlite ROWS THREADS");
    let rows: u32 = number()?.parse()?;
    let threads: usize = number()?.parse()?;
    fill(rows)?;
    let answers = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || ask((thread..QUESTIONS).step_by(threads))))
            .collect();
        let mut answers = Vec::new();
        for worker in workers {
            answers.extend(worker.join().map_err(|_| "a thread has panicked")??);
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(answers)
    })?;
    for question in 0..QUESTIONS {
        for (_, found) in answers.iter().filter(|(asked, _)| *asked == question) {
            for (word, count, sum) in found {
                println!("{question}: {word} {count} {sum}");
            }
        }
    }
    Ok(())
}

/// More than SQLite keeps in memory: the index is sorted in a temporary file, unless it is told otherwise.
fn fill(rows: u32) -> Result<(), rusqlite::Error> {
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
    work.commit()
}

/// A connection of its own, without locks: nobody writes now, and on WASI a reader locks out all others.
fn ask(
    questions: impl Iterator<Item = usize>,
) -> Result<Vec<(usize, Vec<Answer>)>, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags("file:table.db?immutable=1", flags)?;
    let mut query = database.prepare(QUERY)?;
    questions
        .map(|question| {
            let answers = query.query_map([format!("%{question:x}%")], |row| row.try_into())?;
            Ok((question, answers.collect::<Result<_, _>>()?))
        })
        .collect()
}
