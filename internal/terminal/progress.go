// Package terminal draws the progress of long work on a terminal.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// ProgressBar is a line on a terminal that is overwritten again and again. If the output is not a terminal, it shows
// nothing.
type ProgressBar struct {
	out      io.Writer
	label    string
	terminal bool
	shown    bool
	last     time.Time
}

// NewProgressBar returns a bar on out, which begins with label.
func NewProgressBar(out io.Writer, label string) *ProgressBar {
	return &ProgressBar{out: out, label: label, terminal: IsTerminal(out)}
}

// IsTerminal reports whether out is a terminal.
func IsTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Show draws the bar and the remark behind it, at most ten times a second. It always draws a bar that is full.
func (b *ProgressBar) Show(done, total int64, remark string) {
	if !b.terminal || done < total && time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last, b.shown = time.Now(), true
	fmt.Fprint(b.out, "\r\x1b[K"+within(b.label+" "+drawBar(done, total)+remark, b.width()))
}

// width returns the width of the terminal, or 0 if it is not known.
func (b *ProgressBar) width() int {
	file, ok := b.out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// within cuts a line so that it is shorter than the terminal is wide: a line that wraps cannot be overwritten. A width
// of 0 or 1 cuts nothing.
func within(line string, width int) string {
	runes := []rune(line)
	if width <= 1 || len(runes) < width {
		return line
	}
	return string(runes[:width-2]) + "…"
}

// End moves to the next line. It may be called more than once.
func (b *ProgressBar) End() {
	if b.shown {
		fmt.Fprintln(b.out)
		b.shown = false
	}
}

// drawBar returns a bar with its numbers. The bar is full only if nothing is left.
func drawBar(done, total int64) string {
	const width = 30
	part := 1.0
	if total > 0 {
		part = min(float64(done)/float64(total), 1)
	}
	full := int(part * width)
	return fmt.Sprintf("[%s%s] %3d %% %d/%d", strings.Repeat("#", full), strings.Repeat(".", width-full),
		int(part*100), done, total)
}

// Pace says how many rows a second are done on average, and how long the rest will take, as a remark behind a bar.
func Pace(done, total int64, took time.Duration) string {
	rate := float64(done) / max(took.Seconds(), 1e-3)
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return fmt.Sprintf(", %.0f rows/s, %s left", rate, left.Round(time.Second))
}
