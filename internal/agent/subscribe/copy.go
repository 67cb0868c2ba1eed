package subscribe

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/internal/wire"
)

// The copy on disk: magic, length and SHA-256 of the body, body. The magic's number grows when the layout changes; a copy in another
// layout is ignored, which costs one transfer.
const (
	copyMagic  = "fairlead-set-1\n"
	copyHeader = len(copyMagic) + 8 + sha256.Size
	// maxCopy bounds what is read and written, and the updates that are accepted.
	maxCopy = 256 << 20
)

// errNoCopy says that there is no copy, which is no failure.
var errNoCopy = errors.New("no copy on disk")

// loadCopy reads the copy at path. Any damage is an error: half a set is never used.
func loadCopy(path string) (*set, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoCopy
	}
	if err != nil {
		return nil, fmt.Errorf("read copy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCopy+1))
	if err != nil {
		return nil, fmt.Errorf("read copy: %w", err)
	}
	return parseCopy(data)
}

func parseCopy(data []byte) (*set, error) {
	if len(data) < copyHeader || len(data) > maxCopy || string(data[:len(copyMagic)]) != copyMagic {
		return nil, errors.New("read copy: not a copy of this layout")
	}
	header, body := data[len(copyMagic):copyHeader], data[copyHeader:]
	if binary.BigEndian.Uint64(header) != uint64(len(body)) {
		return nil, errors.New("read copy: cut short")
	}
	if sum := sha256.Sum256(body); !bytes.Equal(header[8:], sum[:]) {
		return nil, errors.New("read copy: checksum does not match")
	}
	saved, err := wire.DecodeSaved(body)
	if err != nil {
		return nil, fmt.Errorf("read copy: %w", err)
	}
	s, err := restored(saved)
	if err != nil {
		return nil, fmt.Errorf("read copy: %w", err)
	}
	return s, nil
}

// saveCopy replaces the copy at path. After a crash at any moment there is either the old or the new copy.
func saveCopy(path string, s *set) error {
	body, err := wire.EncodeSaved(s.saved())
	if err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	if copyHeader+len(body) > maxCopy {
		return fmt.Errorf("write copy: %d bytes, at most %d", copyHeader+len(body), maxCopy)
	}
	sum := sha256.Sum256(body)
	data := make([]byte, 0, copyHeader+len(body))
	data = append(data, copyMagic...)
	data = binary.BigEndian.AppendUint64(data, uint64(len(body)))
	data = append(append(data, sum[:]...), body...)
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if err := writeAndSync(f, data); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeAndSync(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
