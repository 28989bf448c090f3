//! What is shown while it runs: a bar, or each object.

use std::{sync::Arc, time::Duration};

use cloud_patterns::sync::{Action, SyncEvent, SyncObserver, SyncProgress};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::arguments::Arguments;

#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    verbose: bool,
    dry_run: bool,
}

impl Bar {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let shown = !(arguments.quiet || arguments.json || arguments.dry_run);
        let bar = if shown { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} objects {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, verbose: arguments.verbose, dry_run: arguments.dry_run && !arguments.json }
    }

    pub(crate) fn observer(&self) -> Option<Arc<Lines>> {
        (self.verbose || self.dry_run)
            .then(|| Arc::new(Lines { bar: self.bar.clone(), decisions: self.dry_run }))
    }

    pub(crate) async fn watch(self, progress: SyncProgress) {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = progress.now();
            if self.bar.is_hidden() {
                continue;
            }
            self.bar.set_length(now.queued);
            self.bar.set_position(now.copied);
            let left = match now.left {
                Some(left) => format!(
                    "{} left",
                    humantime::format_duration(Duration::from_secs(left.as_secs()))
                ),
                None => "listing".to_owned(),
            };
            self.bar.set_message(format!(
                "{} of {}, {:.0} objects/s, {}/s, {left}",
                HumanBytes(now.copied_bytes),
                HumanBytes(now.queued_bytes),
                now.objects_per_second(),
                HumanBytes(now.bytes_per_second() as u64),
            ));
        }
    }
}

/// Prints a line for each object.
#[derive(Debug)]
pub(crate) struct Lines {
    bar: ProgressBar,
    decisions: bool,
}

impl SyncObserver for Lines {
    fn event(&self, event: SyncEvent) {
        let line = match event {
            SyncEvent::Decided { key, action, reason, bytes }
                if self.decisions || action == Action::Report =>
            {
                format!("{}\t{}\t{bytes}\t{reason}", word(action), key.escape_debug())
            }
            SyncEvent::Copied { key, bytes } => format!("copied\t{}\t{bytes}", key.escape_debug()),
            SyncEvent::Deleted { key } => format!("deleted\t{}", key.escape_debug()),
            SyncEvent::Refused { key, why } => format!("refused\t{}\t{why}", key.escape_debug()),
            SyncEvent::Failed { key, error } => format!("failed\t{}\t{error}", key.escape_debug()),
            _ => return,
        };
        self.bar.suspend(|| println!("{line}"));
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::CopyToTarget => "copy",
        Action::CopyToSource => "copy back",
        Action::DeleteTarget => "delete",
        Action::DeleteSource => "delete at source",
        Action::KeepBoth => "keep both",
        Action::Report => "conflict",
        Action::Nothing | Action::Record | Action::Forget => "keep",
    }
}
