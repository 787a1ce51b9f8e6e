//! Nodes go: one by SIGKILL, all by a roll.

use crate::page::{Findings, Promise};
use crate::region::{NUMBERS, Region, leave};
use crate::support::{Balancer, Drawing, Drawn, Node, block_until};
use std::time::{Duration, Instant};

pub fn kill_9(region: &mut Region, findings: &mut Findings) {
    let mut nodes = region.holders(usize::from(NUMBERS.dynamic));
    nodes.push(region.standby());
    let drawings: Vec<Drawing> = nodes.iter().map(Drawing::from).collect();
    drawings[0].issued_after(Instant::now());
    let killed = Instant::now();
    nodes[0].kill();
    let standby = drawings.last().expect("five");
    let took = standby.issued_after(killed) - killed;
    let promise = Promise::Aim("session 6,000 ms + 1,000 ms");
    findings.ms("kill to the standby's first id", promise, took.as_secs_f64() * 1_000.0);
    standby.issued_after(Instant::now());
    let drawn: Vec<Drawn> = drawings.into_iter().map(Drawing::finish).collect();
    let others = &drawn[1..drawn.len() - 1];
    findings.zero("requests refused by the other holders", others.iter().map(|drawn| drawn.refused.len()).sum());
    findings.zero("requests lost by the other holders", others.iter().map(|drawn| drawn.lost.len()).sum());
    let gap = others.iter().map(Drawn::longest_gap).max().unwrap_or_default();
    findings.ms("longest time between two answers of another holder", Promise::None, gap.as_secs_f64() * 1_000.0);
    findings.zero("refusals of the killed node", drawn[0].refused.len());
    findings.drawn(drawn);
    let mut dead = nodes.remove(0);
    dead.wait_exit();
    leave(nodes);
}

pub fn graceful_roll(region: &mut Region, findings: &mut Findings) {
    let holders = usize::from(NUMBERS.dynamic);
    let start = |region: &mut Region, balancer: &Balancer| -> Node {
        let node = region.launch().with(&["--lame-duck-seconds", "1"]).start();
        // The first four get a slot, all others wait for one.
        block_until("a slot or a place in line", || {
            let ready = node.ops("/readyz");
            (ready.status == 200 || ready.text().contains("standby")).then_some(())
        });
        balancer.add(&node);
        node
    };
    let balancer = Balancer::start(4);
    let mut nodes: Vec<Node> = (0..=holders).map(|_| start(region, &balancer)).collect();
    let all = || block_until("four nodes to be ready", || (balancer.ready() == holders).then_some(()));
    all();
    for _ in 0..nodes.len() {
        let mut old = nodes.remove(0);
        let told = Instant::now();
        old.stop();
        assert!(old.wait_exit().success());
        findings.ms("SIGTERM to exit, with a lame duck of 1,000 ms", Promise::None, ms(told.elapsed()));
        all();
        findings.ms(
            "lame duck over to four ready nodes, as the balancer sees it",
            Promise::None,
            ms(told.elapsed()) - 1_000.0,
        );
        nodes.push(start(region, &balancer));
    }
    let drawn = balancer.finish();
    findings.zero("requests refused", drawn.iter().map(|drawn| drawn.refused.len()).sum());
    findings.zero("requests lost", drawn.iter().map(|drawn| drawn.lost.len()).sum());
    let answers: usize = drawn.iter().map(|drawn| drawn.answers.len()).sum();
    findings.add("requests answered", Promise::None, "", answers as f64);
    let gap = drawn.iter().map(Drawn::longest_gap).max().unwrap_or_default();
    findings.ms("longest time between two answers of a client", Promise::None, ms(gap));
    findings.drawn(drawn);
    leave(nodes);
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
