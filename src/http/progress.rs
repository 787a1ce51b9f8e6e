//! How long the answer of one HTTP/2 stream may take. Most have a fixed time; one without end may go on for as long as its
//! client takes what it is given.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The answer has an end: all of it counts.
    Bounded,
    /// The next piece of an endless answer is ours to make.
    Ours,
    /// It is the client's to take, since then.
    Theirs(Instant),
}

tokio::task_local! {
    /// Set by the body of the answer, which is polled by the task of its stream.
    static TURN: Cell<Turn>;
}

/// An endless answer is asked for its next piece: what it gave before was taken.
pub fn asked() {
    let _ = TURN.try_with(|turn| turn.set(Turn::Ours));
}

/// An endless answer gave a piece.
pub fn gave() {
    let _ = TURN.try_with(|turn| turn.set(Turn::Theirs(Instant::now())));
}

/// Runs a stream for this long, or for as long as no piece of it waits for this long to be taken.
pub async fn bounded<F: Future>(limit: Duration, stream: F) {
    let run = async {
        let mut stream = pin!(stream);
        let mut until = Instant::now() + limit;
        while timeout_at(until, stream.as_mut()).await.is_err() {
            until = match TURN.with(Cell::get) {
                Turn::Ours => Instant::now() + limit,
                Turn::Theirs(since) if since + limit > Instant::now() => since + limit,
                Turn::Theirs(_) | Turn::Bounded => return,
            };
        }
    };
    TURN.scope(Cell::new(Turn::Bounded), run).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(300);
    const PAUSE: Duration = Duration::from_millis(10);

    /// How many of these pieces an answer comes to give, one each time the last was taken, before it stands still.
    async fn given(endless: bool, pieces: u32) -> u32 {
        let mut given = 0;
        let stream = async {
            while given < pieces {
                if endless {
                    asked();
                    gave();
                }
                given += 1;
                tokio::time::sleep(PAUSE).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(Duration::from_secs(30), bounded(LIMIT, stream)).await.expect("it has an end");
        given
    }

    #[tokio::test]
    async fn an_endless_answer_lasts_while_it_is_taken() {
        assert_eq!(given(true, 90).await, 90);
        assert!(given(false, 90).await < 90);
    }
}
