// Command ctlog serves a static-ct-api log from a folder, for tests on one machine.
//
// Fulcio refuses to issue usable certificates without a certificate transparency log. TesseraCT's own
// commands want cloud storage or pre-releases that no module proxy serves; its library needs neither.
//
//	ctlog HOST:PORT ORIGIN FOLDER KEY.pem ROOTS.pem
//
// KEY.pem is a SEC1 EC private key; ROOTS.pem holds the certificate authorities whose leaves are accepted.
// There is no deduplication: a repeated submission becomes a second entry.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"
	tposix "github.com/transparency-dev/tessera/storage/posix"
	"github.com/transparency-dev/tesseract"
	"github.com/transparency-dev/tesseract/storage"
	"github.com/transparency-dev/tesseract/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const (
	checkpointInterval = 100 * time.Millisecond
	batchSize          = 64
	batchAge           = 20 * time.Millisecond
	requestDeadline    = 10 * time.Second
	maxChainBytes      = 512 << 10
)

func readKey(path string) (*ecdsa.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// openStorage returns the log's storage in folder; it resumes a log that is already there.
func openStorage(folder string) func(context.Context, note.Signer) (*storage.CTStorage, error) {
	return func(ctx context.Context, signer note.Signer) (*storage.CTStorage, error) {
		driver, err := tposix.New(ctx, tposix.Config{Path: folder})
		if err != nil {
			return nil, err
		}
		options := tessera.NewAppendOptions().WithCTLayout().WithCheckpointSigner(signer).
			WithCheckpointInterval(checkpointInterval).WithBatching(batchSize, batchAge)
		appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
		if err != nil {
			return nil, err
		}
		issuers, err := posix.NewIssuerStorage(ctx, folder)
		if err != nil {
			return nil, err
		}
		return storage.NewCTStorage(ctx, &storage.CTStorageOptions{
			Appender: appender, Reader: reader, IssuerStorage: issuers,
		})
	}
}

func serve(ctx context.Context, address, origin, folder, keyPath, rootsPath string) error {
	key, err := readKey(keyPath)
	if err != nil {
		return err
	}
	validation := tesseract.ChainValidationConfig{RootsPEMFile: rootsPath, ExtKeyUsages: "CodeSigning"}
	limits := tesseract.LogHandlerOpts{DedupRL: -1, MaxCertChainBytes: maxChainBytes}
	handler, err := tesseract.NewLogHandler(
		ctx, origin, key, validation, openStorage(folder), requestDeadline, false, "", limits)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Shutdown(context.Background()) })
	defer stopped()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: ctlog HOST:PORT ORIGIN FOLDER KEY.pem ROOTS.pem")
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, "ctlog:", err)
		os.Exit(1)
	}
}
