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

// ProgressBar is a line on a terminal that is written over. On what is not a terminal it shows nothing.
type ProgressBar struct {
	out      io.Writer
	label    string
	terminal bool
	shown    bool
	last     time.Time
}

// NewProgressBar returns a bar on out that begins with label.
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

// Show draws the bar, at most ten times a second but for the end, with a remark behind it.
func (b *ProgressBar) Show(done, total int64, remark string) {
	if !b.terminal || done < total && time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last, b.shown = time.Now(), true
	fmt.Fprint(b.out, "\r\x1b[K"+within(b.label+" "+drawBar(done, total)+remark, b.width()))
}

// width is that of the terminal, 0 where it is not known.
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

// within cuts a line off that is longer than a terminal is wide, less one: a line that is broken cannot be written
// over. A width of 0 is none.
func within(line string, width int) string {
	runes := []rune(line)
	if width <= 1 || len(runes) < width {
		return line
	}
	return string(runes[:width-2]) + "…"
}

// End leaves the line. It may be called again.
func (b *ProgressBar) End() {
	if b.shown {
		fmt.Fprintln(b.out)
		b.shown = false
	}
}

// drawBar is a bar with its numbers. It is full only when nothing is left.
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
