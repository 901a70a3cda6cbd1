//! Programs that nobody would write, against a model that runs them one step after the other.
//!
//! A program is made of bytes: see [`Node`] for what it may do. Which thread does what is left to
//! chance, so the model says of each leaf how often it is run *at least* and *at most*, which
//! differ only after a panic and for what is cancelled. Besides: nothing hangs or crashes, all
//! that the closures hold is dropped once, and the pools, which serve one program after the
//! other, stay as good as new.
//!
//! Programs run in a process of their own, since a crash or a hang is a finding. The bytes of one
//! that fails are then made fewer and smaller as long as it still fails. `SEED=7` begins with
//! another one, `PROGRAM=<hex>` runs one again and again; `THREADWORK_FULL=1` runs many. Where
//! there are no processes, as WebAssembly and under Miri, they run in the test itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{JobHandle, Scope, TaskError, ThreadPool, blocking, global, join, par, scope};

use crate::support::{LONG, Random, often};

/// What a program may do.
#[derive(Debug)]
enum Node {
    /// Counts, after so many rounds of work.
    Leaf {
        number: usize,
        rounds: u32,
    },
    Join(Vec<Node>, Vec<Node>),
    Scope(Vec<Node>),
    /// On the scope that is so many further out than the innermost.
    Spawn(usize, Vec<Node>),
    /// The same with a handle, for which it waits when it has done the rest, unless that did.
    Handle(usize, Vec<Node>, Vec<Node>),
    /// Waits for the handle that is so many further out than the innermost, unless that was done.
    JoinHandle(usize),
    Par(u32, Vec<Node>),
    Panic,
    Catch(Vec<Node>),
    Blocking(Vec<Node>),
    /// A task of that [`pool`].
    Task(usize, Handling, Arc<[Node]>),
    /// A task of a pool that is made for it, and shut down.
    Pool(usize, Arc<[Node]>),
    /// Blocks until a task of that pool has run.
    Handshake(usize),
    /// On that [`pool`], borrowing what is around it.
    Install(usize, Vec<Node>),
    /// With the one lock of the program. Nothing within wants it.
    Lock(Vec<Node>),
    /// Does nothing for so many microseconds: others fall asleep, or leave.
    Rest(u64),
}

/// What becomes of a task's handle.
#[derive(Clone, Copy, Debug)]
enum Handling {
    Wait,
    Detach,
    Cancel,
}

/// Where a program's root runs.
#[derive(Debug)]
enum Root {
    Pool(usize),
    /// A thread of no pool.
    Outside,
}

const MOST_WORKERS: usize = if cfg!(miri) { 3 } else { 4 };
/// Pools that have no thread for a task while another one of it waits.
const RIGID_POOLS: usize = 2;
const POOLS: usize = MOST_WORKERS + RIGID_POOLS;
/// For how long most pools keep a thread that they do not need.
const KEEP_ALIVE: Duration = Duration::from_micros(300);
const DEPTH: usize = 7;

/// Makes a program of bytes; when they end, of zeros, which are leaves.
struct Reader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    leaves: usize,
    /// So many threads of a pool may be blocked at once.
    handshakes: usize,
    /// So often it may rest.
    rests: usize,
    is_locked: bool,
    /// So many handles are in reach. They do not leave their thread; and what is done while
    /// the lock is held must not want it, as an older job may.
    handles: usize,
}

impl Reader<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(*self.bytes.next().unwrap_or(&0)) % end
    }

    /// One to three nodes within so many scopes.
    fn nodes(&mut self, depth: usize, scopes: usize) -> Vec<Node> {
        let count = 1 + self.below(3);
        (0..count).map(|_| self.node(depth, scopes)).collect()
    }

    /// The same with so many handles in reach.
    fn nodes_with(&mut self, handles: usize, depth: usize, scopes: usize) -> Vec<Node> {
        let before = std::mem::replace(&mut self.handles, handles);
        let nodes = self.nodes(depth, scopes);
        self.handles = before;
        nodes
    }

    fn node(&mut self, depth: usize, scopes: usize) -> Node {
        if depth == 0 {
            return self.leaf();
        }
        if self.handles > 0 && self.below(4) == 1 {
            return Node::JoinHandle(self.below(self.handles));
        }
        let depth = depth - 1;
        match self.below(33) {
            0..=3 => self.leaf(),
            4..=7 => {
                let first = self.nodes_with(0, depth, scopes);
                Node::Join(first, self.nodes_with(0, depth, scopes))
            }
            8..=10 => Node::Scope(self.nodes(depth, scopes + 1)),
            11..=15 if scopes > 0 => {
                let further = self.below(scopes);
                Node::Spawn(further, self.nodes_with(0, depth, scopes - further))
            }
            16 | 17 => Node::Par(self.below(5) as u32, self.nodes_with(0, depth / 2, scopes)),
            // Else it would end the program.
            18 if cfg!(panic = "unwind") => Node::Panic,
            19 => Node::Catch(self.nodes(depth, scopes)),
            20 => Node::Blocking(self.nodes(depth, scopes)),
            21 => {
                let pool = self.pool();
                let handling = [Handling::Wait, Handling::Detach, Handling::Cancel][self.below(3)];
                Node::Task(pool, handling, self.nodes_with(0, depth, 0).into())
            }
            22 => Node::Pool(1 + self.below(3), self.nodes_with(0, depth, 0).into()),
            23 if self.handshakes > 0 => {
                self.handshakes -= 1;
                Node::Handshake(1 + self.below(MOST_WORKERS))
            }
            24 => {
                let pool = self.pool();
                Node::Install(pool, self.nodes_with(0, depth, scopes))
            }
            25 | 26 if !self.is_locked => {
                self.is_locked = true;
                let body = self.nodes_with(0, depth, scopes);
                self.is_locked = false;
                Node::Lock(body)
            }
            kind @ 27..=30 if scopes > 0 => {
                let further = self.below(scopes);
                let job = self.nodes_with(0, depth, scopes - further);
                self.handles += 1;
                let rest = if kind < 29 {
                    self.nodes(depth, scopes)
                } else {
                    // Chance alone seldom takes away what lies below a scope that goes on.
                    let first = Node::JoinHandle(self.below(self.handles));
                    let more = self.nodes(depth, scopes + 1);
                    vec![Node::Scope([first].into_iter().chain(more).collect())]
                };
                self.handles -= 1;
                Node::Handle(further, job, rest)
            }
            31 | 32 if self.rests > 0 => {
                self.rests -= 1;
                Node::Rest([20, 200, 400, 2_000][self.below(4)])
            }
            _ => self.leaf(),
        }
    }

    /// With the lock, one that has a thread whoever waits for the lock.
    fn pool(&mut self) -> usize {
        self.below(if self.is_locked { MOST_WORKERS } else { POOLS })
    }

    fn leaf(&mut self) -> Node {
        self.leaves += 1;
        let rounds = [0, 0, 10, 100, 1_000, 10_000][self.below(6)];
        Node::Leaf {
            number: self.leaves - 1,
            rounds: if cfg!(miri) { 0 } else { rounds },
        }
    }
}

#[derive(Debug)]
struct Program {
    root: Root,
    nodes: Arc<[Node]>,
    leaves: usize,
}

impl Program {
    fn new(bytes: &[u8]) -> Self {
        let mut reader = Reader {
            bytes: bytes.iter(),
            leaves: 0,
            handshakes: 4,
            rests: 0,
            is_locked: false,
            handles: 0,
        };
        let root = match reader.below(MOST_WORKERS + 1) {
            0 => Root::Outside,
            workers => Root::Pool(workers),
        };
        // Most do not, since it takes time.
        reader.rests = [4, 0, 0, 0][reader.below(4)];
        let depth = if cfg!(miri) { DEPTH - 2 } else { DEPTH };
        let nodes = reader.nodes(depth, 0).into();
        Program {
            root,
            nodes,
            leaves: reader.leaves,
        }
    }
}

/// What is certain of something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sure {
    No,
    Perhaps,
    Yes,
}

impl Sure {
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Sure::Yes, _) | (_, Sure::Yes) => Sure::Yes,
            (Sure::No, Sure::No) => Sure::No,
            _ => Sure::Perhaps,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Sure::No, _) | (_, Sure::No) => Sure::No,
            (Sure::Yes, Sure::Yes) => Sure::Yes,
            _ => Sure::Perhaps,
        }
    }

    fn not(self) -> Self {
        match self {
            Sure::No => Sure::Yes,
            Sure::Perhaps => Sure::Perhaps,
            Sure::Yes => Sure::No,
        }
    }
}

/// Runs a program in its head.
struct Model {
    /// How often each leaf is run, at least and at most.
    counts: Vec<(u32, u32)>,
    /// Whether a job of each scope panics, from the outermost.
    scopes: Vec<Sure>,
    /// Whether each handle was joined, from the outermost.
    handles: Vec<Sure>,
}

impl Model {
    fn of(program: &Program) -> Self {
        let mut model = Model {
            counts: vec![(0, 0); program.leaves],
            scopes: Vec::new(),
            handles: Vec::new(),
        };
        model.task(&program.nodes, true);
        model
    }

    /// Returns whether they panic.
    fn nodes(&mut self, nodes: &[Node], is_run: bool) -> Sure {
        let mut panics = Sure::No;
        for node in nodes {
            panics = panics.or(self.node(node, is_run && panics == Sure::No));
            if panics == Sure::Yes {
                break;
            }
        }
        panics
    }

    fn node(&mut self, node: &Node, is_run: bool) -> Sure {
        match node {
            Node::Leaf { number, .. } => {
                let (least, most) = &mut self.counts[*number];
                *least += u32::from(is_run);
                *most += 1;
                Sure::No
            }
            Node::Join(a, b) => {
                let first = self.nodes(a, is_run);
                // It may have begun, or not.
                let second = self.nodes(b, is_run && first == Sure::No);
                first.or(second)
            }
            Node::Scope(body) => {
                self.scopes.push(Sure::No);
                let panics = self.nodes(body, is_run);
                let jobs = self.scopes.pop().unwrap();
                panics.or(jobs)
            }
            Node::Spawn(further, job) => {
                let panics = self.job(*further, job, is_run);
                self.panics(*further, panics);
                Sure::No
            }
            Node::Handle(further, job, rest) => {
                let panics = self.job(*further, job, is_run);
                self.handles.push(Sure::No);
                let rest = self.nodes(rest, is_run);
                let joined = self.handles.pop().unwrap();
                // Nobody joins then, unless it was done before.
                self.panics(*further, panics.and(rest).and(joined.not()));
                rest
            }
            Node::JoinHandle(further) => {
                let place = self.handles.len() - 1 - further;
                let joins = if is_run { Sure::Yes } else { Sure::Perhaps };
                self.handles[place] = self.handles[place].or(joins);
                Sure::No
            }
            Node::Par(items, body) => {
                let (counts, scopes) = (self.counts.clone(), self.scopes.clone());
                let panics = self.nodes(body, is_run);
                (self.counts, self.scopes) = (counts, scopes);
                // After a panic others may be left out. One item is run in any case.
                let is_run = is_run && panics == Sure::No;
                (0..*items).fold(Sure::No, |panics, _| panics.or(self.nodes(body, is_run)))
            }
            Node::Panic => Sure::Yes,
            Node::Catch(body) => {
                self.nodes(body, is_run);
                Sure::No
            }
            Node::Blocking(body) | Node::Lock(body) => self.nodes(body, is_run),
            Node::Install(_, body) => {
                self.nodes(body, is_run);
                Sure::No
            }
            Node::Task(_, handling, body) => {
                self.task(body, is_run && !matches!(handling, Handling::Cancel));
                Sure::No
            }
            Node::Pool(_, body) => {
                self.task(body, is_run);
                Sure::No
            }
            Node::Handshake(_) | Node::Rest(_) => Sure::No,
        }
    }

    /// Returns whether it panics, a job of the scope that is so many further out.
    fn job(&mut self, further: usize, job: &[Node], is_run: bool) -> Sure {
        let inner = self.scopes.split_off(self.scopes.len() - further);
        let panics = self.nodes(job, is_run);
        self.scopes.extend(inner);
        if is_run {
            panics
        } else {
            panics.and(Sure::Perhaps)
        }
    }

    fn panics(&mut self, further: usize, panics: Sure) {
        let place = self.scopes.len() - 1 - further;
        self.scopes[place] = self.scopes[place].or(panics);
    }

    fn task(&mut self, body: &[Node], is_run: bool) {
        let scopes = std::mem::take(&mut self.scopes);
        self.nodes(body, is_run);
        self.scopes = scopes;
    }
}

/// What a program that runs has.
struct World {
    counts: Vec<AtomicU32>,
    /// Tokens that live.
    tokens: AtomicU32,
    lock: threadwork::sync::Mutex<()>,
}

/// Is held by each closure.
struct Token<'a>(&'a World);

impl<'a> Token<'a> {
    fn new(world: &'a World) -> Self {
        world.tokens.fetch_add(1, Ordering::Relaxed);
        Token(world)
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.0.tokens.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same for closures of tasks.
struct TaskToken(Arc<World>);

impl TaskToken {
    fn new(world: &Arc<World>) -> Self {
        std::mem::forget(Token::new(world));
        TaskToken(world.clone())
    }
}

impl Drop for TaskToken {
    fn drop(&mut self) {
        drop(Token(&self.0));
    }
}

/// A scope, and those around it.
trait Level<'w>: Sync {
    fn spawn(&self, further: usize, job: &'w [Node], world: &'w Arc<World>);

    /// Spawns with a handle, runs `rest`, which is given what waits for it, and waits.
    fn spawn_and_join(
        &self,
        further: usize,
        job: &'w [Node],
        world: &'w Arc<World>,
        rest: &mut dyn FnMut(&dyn Fn()),
    );
}

type Outer<'c, 'w> = Option<&'c (dyn Level<'w> + 'c)>;

struct Here<'r, 'c, 'w> {
    scope: &'r Scope<'c>,
    outer: Outer<'c, 'w>,
}

impl<'c, 'w: 'c> Level<'w> for Here<'_, 'c, 'w> {
    fn spawn(&self, further: usize, job: &'w [Node], world: &'w Arc<World>) {
        let outer = self.outer;
        if further > 0 {
            outer.unwrap().spawn(further - 1, job, world);
            return;
        }
        let token = Token::new(world);
        self.scope.spawn(move |scope| {
            let _token = token;
            run_all(job, world, Some(&Here { scope, outer }), None);
        });
    }

    fn spawn_and_join(
        &self,
        further: usize,
        job: &'w [Node],
        world: &'w Arc<World>,
        rest: &mut dyn FnMut(&dyn Fn()),
    ) {
        let outer = self.outer;
        if further > 0 {
            outer.unwrap().spawn_and_join(further - 1, job, world, rest);
            return;
        }
        let token = Token::new(world);
        let handle = self.scope.spawn_with_handle(move |scope| {
            run_all(job, world, Some(&Here { scope, outer }), None);
            token
        });
        let handle = Cell::new(Some(handle));
        let join = || drop(handle.take().map(JobHandle::join));
        rest(&join);
        join();
    }
}

/// What waits for a handle in reach, and for those around it.
struct Open<'o> {
    join: &'o dyn Fn(),
    outer: Option<&'o Open<'o>>,
}

impl Open<'_> {
    fn join(&self, further: usize) {
        match further {
            0 => (self.join)(),
            _ => self.outer.unwrap().join(further - 1),
        }
    }
}

fn run_all<'w>(
    nodes: &'w [Node],
    world: &'w Arc<World>,
    level: Outer<'_, 'w>,
    handles: Option<&Open<'_>>,
) {
    for node in nodes {
        run(node, world, level, handles);
    }
}

fn run<'w>(
    node: &'w Node,
    world: &'w Arc<World>,
    level: Outer<'_, 'w>,
    handles: Option<&Open<'_>>,
) {
    match node {
        Node::Leaf { number, rounds } => {
            (0..*rounds).for_each(|_| std::hint::spin_loop());
            world.counts[*number].fetch_add(1, Ordering::Relaxed);
        }
        Node::Join(a, b) => {
            let (first, second) = (Token::new(world), Token::new(world));
            join(
                move || {
                    let _token = first;
                    run_all(a, world, level, None);
                },
                move || {
                    let _token = second;
                    run_all(b, world, level, None);
                },
            );
        }
        Node::Scope(body) => scope(|scope| {
            let outer = level;
            run_all(body, world, Some(&Here { scope, outer }), handles);
        }),
        Node::Spawn(further, job) => level.unwrap().spawn(*further, job, world),
        Node::Handle(further, job, rest) => {
            let rest = &mut |join: &dyn Fn()| {
                let outer = handles;
                run_all(rest, world, level, Some(&Open { join, outer }));
            };
            level.unwrap().spawn_and_join(*further, job, world, rest);
        }
        Node::JoinHandle(further) => handles.unwrap().join(*further),
        Node::Par(items, body) => par(0..*items).for_each(|_| {
            let _token = Token::new(world);
            run_all(body, world, level, None);
        }),
        Node::Panic => resume_unwind(Box::new(TaskToken::new(world))),
        Node::Catch(body) => {
            drop(catch_unwind(AssertUnwindSafe(|| {
                run_all(body, world, level, handles);
            })));
        }
        Node::Blocking(body) => blocking(|| run_all(body, world, level, handles)),
        Node::Install(number, body) => {
            let token = Token::new(world);
            let result = pool(*number).install(move || {
                let _token = token;
                run_all(body, world, level, None);
            });
            assert!(matches!(result, Ok(()) | Err(TaskError::Panicked(_))));
        }
        Node::Lock(body) => {
            let _guard = blocking(|| world.lock.lock());
            run_all(body, world, level, None);
        }
        Node::Task(number, handling, body) => {
            execute(pool(*number), *handling, body, world);
        }
        Node::Pool(workers, body) => {
            let pool = ThreadPool::new(*workers).unwrap();
            execute(&pool, Handling::Wait, body, world);
            pool.shutdown();
        }
        Node::Handshake(workers) => {
            let met = Arc::new(Latch::new());
            let (token, other) = (TaskToken::new(world), met.clone());
            drop(pool(*workers - 1).execute(move || {
                let _token = token;
                other.open();
            }));
            blocking(|| met.wait());
        }
        Node::Rest(time) => sleep(Duration::from_micros(*time)),
    }
}

fn execute(pool: &ThreadPool, handling: Handling, body: &Arc<[Node]>, world: &Arc<World>) {
    let (body, token) = (body.clone(), TaskToken::new(world));
    let has_begun = Arc::new(AtomicU32::new(0));
    let begun = has_begun.clone();
    let task = move || {
        begun.store(1, Ordering::Release);
        run_all(&body, &token.0, None, None);
    };
    if matches!(handling, Handling::Detach) {
        pool.spawn(task);
        return;
    }
    let handle = pool.execute(task);
    match handling {
        Handling::Detach => {}
        // A panic ends the task, and nothing else.
        Handling::Wait => {
            assert!(matches!(
                handle.wait(),
                Ok(()) | Err(TaskError::Panicked(_))
            ));
        }
        Handling::Cancel => {
            let is_cancelled = handle.cancel();
            let result = handle.wait();
            let never_ran = matches!(result, Err(TaskError::Cancelled));
            assert_eq!(is_cancelled, never_ran);
            assert_eq!(has_begun.load(Ordering::Acquire) == 0, is_cancelled);
        }
    }
}

/// The pool of one worker, of two and so on, and then the rigid ones.
fn pool(number: usize) -> &'static ThreadPool {
    static ALL: [OnceLock<ThreadPool>; POOLS] = [const { OnceLock::new() }; POOLS];
    ALL[number].get_or_init(|| {
        let pool = ThreadPool::builder();
        let pool = match number.checked_sub(MOST_WORKERS) {
            Some(more) => pool.pool_size(1 + more).max_threads(1 + more),
            None if number == 0 => pool.pool_size(1).max_threads(64),
            None => {
                let pool = pool.pool_size(1 + number).max_threads(64);
                pool.keep_alive(KEEP_ALIVE)
            }
        };
        pool.build().unwrap()
    })
}

/// Runs a program, and compares.
fn check(bytes: &[u8]) {
    let program = Program::new(bytes);
    let model = Model::of(&program);
    let world = Arc::new(World {
        counts: (0..program.leaves).map(|_| AtomicU32::new(0)).collect(),
        tokens: AtomicU32::new(0),
        lock: threadwork::sync::Mutex::new(()),
    });
    match program.root {
        Root::Pool(workers) => execute(pool(workers - 1), Handling::Wait, &program.nodes, &world),
        Root::Outside => {
            let run = || run_all(&program.nodes, &world, None, None);
            drop(catch_unwind(AssertUnwindSafe(run)));
        }
    }
    // Those whose handle was dropped; they may make others.
    let pools = || (0..POOLS).map(pool).chain([global()]);
    while pools().any(|pool| pool.unfinished() > 0) {
        pools().for_each(|pool| pool.wait_all().unwrap());
    }
    for (number, (count, (least, most))) in world.counts.iter().zip(&model.counts).enumerate() {
        let count = count.load(Ordering::Relaxed);
        assert!(
            (*least..=*most).contains(&count),
            "leaf {number} was run {count} times, not {least} to {most}"
        );
    }
    let tokens = world.tokens.load(Ordering::Relaxed);
    assert_eq!(tokens, 0, "so many closures were not dropped");
    // A permit that was given back twice, or never, would keep the others from helping.
    if global().pool_size() > 1 {
        let met = Latch::new();
        let (is_helped, ()) = join(|| met.wait_timeout(LONG), || met.open());
        assert!(is_helped, "nobody helps any more");
    }
}

fn bytes_of(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = 1 + random.below(if cfg!(miri) { 60 } else { 300 });
    (0..length).map(|_| (random.next() >> 32) as u8).collect()
}

/// `SEED`, or 0.
fn first_seed() -> u64 {
    let seed = std::env::var("SEED");
    seed.map_or(0, |seed| seed.parse().unwrap())
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// By these a process of its own is told what to do.
const SEEDS: &str = "SEEDS";
const PROGRAM: &str = "PROGRAM";

/// One program may be good with one schedule, and bad with another.
const RUNS: u32 = 300;

#[test]
fn programs_agree_with_the_model() {
    let count = often(200_000) as u64;
    if let Ok(program) = std::env::var(PROGRAM) {
        let bytes = from_hex(&program);
        println!("{:#?}", Program::new(&bytes));
        (0..RUNS).for_each(|_| check(&bytes));
    } else if cfg!(any(miri, target_family = "wasm")) || std::env::var_os(SEEDS).is_some() {
        for seed in first_seed()..first_seed() + count {
            println!("seed {seed}");
            check(&bytes_of(seed));
        }
    } else {
        #[cfg(not(any(miri, target_family = "wasm")))]
        processes::search();
    }
}

/// Programs in processes of their own.
#[cfg(not(any(miri, target_family = "wasm")))]
mod processes {
    use std::fmt::Write as _;
    use std::fs;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::{PROGRAM, Program, SEEDS, bytes_of};

    /// For one program, which takes a millisecond.
    const LONGEST: Duration = Duration::from_secs(30);
    /// For one that runs many times, while a smaller one is looked for.
    const LONG: Duration = Duration::from_secs(3);

    /// Tries one seed after the other; if one fails, says which program it is in the end.
    pub(super) fn search() {
        let said = std::env::temp_dir().join(format!("threadwork-{}", std::process::id()));
        let file = fs::File::create(&said).unwrap();
        let child = start(SEEDS, "", file.try_clone().unwrap().into(), file.into());
        let is_good = ended_well(child, LONGEST, || fs::metadata(&said).unwrap().len());
        let text = fs::read_to_string(&said).unwrap();
        fs::remove_file(&said).unwrap();
        if is_good {
            return;
        }
        let last = text.rsplit("seed ").next().unwrap();
        let (seed, message) = last.split_once('\n').unwrap();
        let bytes = smaller(bytes_of(seed.parse().unwrap()));
        panic!(
            "seed {seed} fails: {message}\nSo does PROGRAM={}, if it is run often enough:\n{:#?}",
            hex(&bytes),
            Program::new(&bytes)
        );
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn start(variable: &str, value: &str, output: Stdio, errors: Stdio) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "generated::programs_agree_with_the_model",
                "--nocapture",
            ])
            .env(variable, value)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    /// Whether it ends well; not if it stands still.
    fn ended_well(mut child: Child, longest: Duration, progress: impl Fn() -> u64) -> bool {
        let mut last = (progress(), Instant::now());
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.success();
            }
            let now = progress();
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > longest {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn fails(bytes: &[u8]) -> bool {
        let child = start(PROGRAM, &hex(bytes), Stdio::null(), Stdio::null());
        !ended_well(child, LONG, || 0)
    }

    /// Leaves out and lowers bytes as long as the program still fails.
    fn smaller(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut piece = bytes.len();
        while piece > 0 {
            let mut at = 0;
            while at < bytes.len() && Instant::now() < end {
                let to = (at + piece).min(bytes.len());
                let without = [&bytes[..at], &bytes[to..]].concat();
                let mut lower = bytes.clone();
                lower[at..to].fill(0);
                if fails(&without) {
                    bytes = without;
                } else {
                    if lower != bytes && fails(&lower) {
                        bytes = lower;
                    }
                    at += piece;
                }
            }
            piece /= 2;
        }
        bytes
    }
}
