// A client in Go, generated from the contract alone: it streams an import, runs an experiment on the version that the import
// made, and reads the results back.
//
//	go generate && go run . -address 127.0.0.1:50051
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	itembank "itembank.example/gen/itembank/v1"
)

//go:generate npx buf generate ../../proto --template buf.gen.yaml --path ../../proto/itembank

const rows = 2_500

// A batch takes at most 1,000 items.
const batchSize = 1_000

func main() {
	address := flag.String("address", "127.0.0.1:50051", "where the service listens")
	flag.Parse()
	if err := run(*address); err != nil {
		log.Fatal(err)
	}
}

func run(address string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	dataset := &itembank.DatasetRef{By: &itembank.DatasetRef_Name{Name: "go example"}}
	receipt, err := upsert(ctx, itembank.NewUpsertServiceClient(connection), dataset)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	counts := receipt.Counts
	fmt.Printf("version %d: received %d = %d created + %d updated + %d unchanged; %d deleted\n",
		receipt.Version, counts.Received, counts.Created, counts.Updated, counts.Unchanged, counts.Deleted)

	runs := itembank.NewRunServiceClient(connection)
	created, err := runs.CreateRun(ctx, &itembank.CreateRunRequest{
		Dataset: dataset,
		At:      &itembank.VersionSelector{By: &itembank.VersionSelector_Version{Version: receipt.Version}},
		Run:     &itembank.Run{Name: "squares", TargetType: "function", TargetId: "square"},
	})
	if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	runID := created.Run.RunId
	if err := record(ctx, runs, runID); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if _, err := runs.FinishRun(ctx, &itembank.FinishRunRequest{RunId: runID}); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return read(ctx, runs, runID)
}

// upsert sends all rows and waits until they are a version. A real client would keep rows until they are acknowledged and, if
// the stream breaks, open another with the same request_id and continue at next_offset.
func upsert(ctx context.Context, client itembank.UpsertServiceClient, dataset *itembank.DatasetRef) (*itembank.Receipt, error) {
	stream, err := client.StreamUpsertItems(ctx)
	if err != nil {
		return nil, err
	}
	frames := []*itembank.StreamUpsertItemsRequest{{Frame: &itembank.StreamUpsertItemsRequest_Open{Open: &itembank.UpsertOpen{
		Dataset:   dataset,
		RequestId: uuid.NewString(),
		Options:   &itembank.UpsertOptions{Mode: itembank.UpsertMode_UPSERT_MODE_MIRROR, CreateIfMissing: true},
	}}}}
	for first := 0; first < rows; first += batchSize {
		batch := &itembank.UpsertBatch{Offset: int64(first)}
		for n := first; n < min(first+batchSize, rows); n++ {
			answer := fmt.Sprint(n * n)
			batch.Items = append(batch.Items, &itembank.Item{
				ItemId:             fmt.Sprintf("square-%05d", n),
				InputJson:          fmt.Sprintf(`{"n":%d}`, n),
				ExpectedOutputJson: &answer,
			})
		}
		frames = append(frames, &itembank.StreamUpsertItemsRequest{Frame: &itembank.StreamUpsertItemsRequest_Batch{Batch: batch}})
	}
	frames = append(frames, &itembank.StreamUpsertItemsRequest{
		Frame: &itembank.StreamUpsertItemsRequest_Commit{Commit: &itembank.UpsertCommit{ItemCount: rows}},
	})
	for _, frame := range frames {
		// io.EOF means that the service has ended the stream; Recv returns the reason.
		if err := stream.Send(frame); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if receipt := answer.GetReceipt(); receipt != nil {
			return receipt, nil
		}
	}
}

// record sends a result for each item, a frame at a time.
func record(ctx context.Context, client itembank.RunServiceClient, runID string) error {
	stream, err := client.StreamRecordResults(ctx)
	if err != nil {
		return err
	}
	for first := 0; first < rows; first += batchSize {
		frame := &itembank.StreamRecordResultsRequest{RunId: runID, FrameNumber: int64(first / batchSize)}
		for n := first; n < min(first+batchSize, rows); n++ {
			value := 1.0
			frame.Results = append(frame.Results, &itembank.RunResult{
				ItemId:     fmt.Sprintf("square-%05d", n),
				Repetition: 1,
				Outcome:    &itembank.RunResult_OutputJson{OutputJson: fmt.Sprint(n * n)},
				Latency:    durationpb.New(time.Microsecond),
				Scores:     []*itembank.Score{{Name: "correct", Value: &value, AnnotatorKind: itembank.AnnotatorKind_ANNOTATOR_KIND_CODE}},
			})
		}
		if err := stream.Send(frame); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// read streams all results. Only the end frame confirms that they are complete.
func read(ctx context.Context, client itembank.RunServiceClient, runID string) error {
	stream, err := client.StreamResults(ctx, &itembank.StreamResultsRequest{RunId: runID})
	if err != nil {
		return err
	}
	received := 0
	for {
		answer, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("results: %w", err)
		}
		received += len(answer.GetBatch().GetResults())
		if end := answer.GetEnd(); end != nil {
			counts := end.Run.Counts
			fmt.Printf("%s: %d results read; %d expected = %d succeeded + %d failed + %d missing\n",
				end.Run.State, received, counts.Expected, counts.Succeeded, counts.Failed, counts.Missing)
			return nil
		}
	}
}
