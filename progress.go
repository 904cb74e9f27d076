package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progressBar is a line on a terminal that is written over. On what is not a terminal it shows nothing.
type progressBar struct {
	out      io.Writer
	label    string
	terminal bool
	shown    bool
	last     time.Time
}

func newProgressBar(out io.Writer, label string) *progressBar {
	return &progressBar{out: out, label: label, terminal: isTerminal(out)}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show draws the bar, at most ten times a second but for the end, with a remark behind it.
func (b *progressBar) show(done, total int64, remark string) {
	if !b.terminal || done < total && time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last, b.shown = time.Now(), true
	fmt.Fprint(b.out, "\r\x1b[K"+within(b.label+" "+drawBar(done, total)+remark, b.width()))
}

// width is that of the terminal, 0 where it is not known.
func (b *progressBar) width() int {
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

// within cuts a line off that is longer than a terminal is wide, less one: a line that is broken cannot be written over. A width of 0 is none.
func within(line string, width int) string {
	runes := []rune(line)
	if width <= 1 || len(runes) < width {
		return line
	}
	return string(runes[:width-2]) + "…"
}

// end leaves the line. It may be called again.
func (b *progressBar) end() {
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
	return fmt.Sprintf("[%s%s] %3d %% %d/%d", strings.Repeat("#", full), strings.Repeat(".", width-full), int(part*100), done, total)
}
